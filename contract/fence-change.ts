/**
 * What a fence changes on a database besides its own schema: settings of the database, and rights to write. Each is named, with the
 * SQL that gives it back exactly, because the control schema that knows it is removed when the migration ends. Pure.
 */
import * as v from 'valibot';

const moment = v.string();

/** As a step reports it: names only, no row value and no secret. */
export const fenceTaking = v.pipe(
  v.object({
    /** `connection limit of the database`; `rights of app: INSERT, UPDATE on public.a`. */
    what: v.string(),
    /** SQL for a superuser, or for the role that the migration uses; absent: too much to name. */
    undo: v.exactOptional(v.string()),
    /** Asked for with `fenceExtras`: a rehearsal does not take it. */
    extra: v.exactOptional(v.literal(true)),
  }),
  v.readonly(),
);
export type FenceTaking = v.InferOutput<typeof fenceTaking>;

export const fenceChange = v.pipe(
  v.object({
    /** Whose database. */
    side: v.picklist(['source', 'target']),
    what: v.string(),
    /** Only while it is changed. */
    undo: v.exactOptional(v.string()),
    /** The first time, at most this early. */
    changed: moment,
    /** The last time; absent: it is still changed. */
    restored: v.exactOptional(moment),
  }),
  v.readonly(),
);
export type FenceChange = v.InferOutput<typeof fenceChange>;
export type Side = FenceChange['side'];

/** What is changed at this moment, as `progress` shows it. */
export const keptChange = v.pipe(
  v.object({
    /** Service of the database. */
    on: v.string(),
    what: v.string(),
    since: v.exactOptional(moment),
    /** SQL that gives it back, run on that database. Absent: none does. */
    undo: v.exactOptional(v.string()),
    /** The update that gives it back while the migration runs. */
    update: v.exactOptional(v.string()),
  }),
  v.readonly(),
);
export type KeptChange = v.InferOutput<typeof keptChange>;

/** Begins the name of revoked rights, which says their tables. */
export const RIGHTS_OF = 'rights of ';

/** Most that one look reports, so that both sides and what was restored before have room. */
export const MOST_TAKINGS = 80;
/** They are part of the carried state. */
export const MOST_FENCE_CHANGES = 2 * MOST_TAKINGS + 40;

/** The writes are about to be stopped: from here on each of these may be changed. */
export function changesTaken(
  changes: readonly FenceChange[],
  side: Side,
  takings: readonly FenceTaking[],
  at: string,
): readonly FenceChange[] {
  const taken = takings.map(({ what, extra: _extra, ...undo }): FenceChange => {
    const before = changes.find((one) => one.side === side && one.what === what);
    // Still changed since an earlier attempt: what is there to give back was read before that one.
    if (before && before.restored === undefined) return before;
    return { side, what, ...undo, changed: before?.changed ?? at };
  });
  const others = changes.filter(
    (one) => !taken.some(({ what }) => one.side === side && one.what === what),
  );
  return bounded([...others, ...taken]);
}

/** Everything on this side was given back, as far as it was changed. */
export function changesRestored(
  changes: readonly FenceChange[],
  side: Side,
  at: string,
): readonly FenceChange[] {
  if (!changes.some((one) => isKept(one) && one.side === side)) return changes;
  return changes.map((one) => {
    if (!isKept(one) || one.side !== side) return one;
    const { undo: _undo, ...others } = one;
    return { ...others, restored: at };
  });
}

/**
 * The side that was left was looked at: exactly these stay changed, and everything else was given back.
 * @param since when the writes were stopped there.
 */
export function changesLooked(
  changes: readonly FenceChange[],
  side: Side,
  stays: readonly FenceTaking[],
  { since, at }: { readonly since: string; readonly at: string },
): readonly FenceChange[] {
  const isThere = (one: FenceChange) =>
    one.side === side && stays.some(({ what }) => what === one.what);
  // Rights that are grouped in another way now are still revoked: the look names them again.
  const isRegrouped = (one: FenceChange) =>
    one.side === side && isKept(one) && one.what.startsWith(RIGHTS_OF) && !isThere(one);
  const there = changes.filter(isThere);
  const others = changes.filter((one) => !isThere(one) && !isRegrouped(one));
  const stay = changesTaken(there, side, stays, since);
  return bounded([...changesRestored(others, side, at), ...stay]);
}

/** What was restored long ago goes first. */
function bounded(changes: readonly FenceChange[]): readonly FenceChange[] {
  let over = changes.length - MOST_FENCE_CHANGES;
  if (over <= 0) return changes;
  const left = changes.filter((one) => isKept(one) || over-- <= 0);
  return left.slice(-MOST_FENCE_CHANGES);
}

export const isKept = ({ restored }: FenceChange): boolean => restored === undefined;
