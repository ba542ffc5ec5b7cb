/**
 * How much of either server a migration may take: set in the input, changed while it runs by the update `setLimits`. Pure. The
 * limits are in the workflow's state and in a row of the control schema, where running activities see a change.
 */
import * as v from 'valibot';
import { described } from './described.ts';
import { whole } from './whole.ts';

/** No setting needs more streams: each is a session on either side. */
export const MOST_STREAMS = 32;
const MOST_BYTES_PER_SECOND = 1_000_000_000_000;
const MOST_CHANGES_PER_SECOND = 1_000_000_000;

const entries = {
  copyStreams: described(
    whole(0, MOST_STREAMS),
    'Parallel copy streams. 0: as many as `copy.parallelism`.',
  ),
  copyBytesPerSecond: described(
    whole(0, MOST_BYTES_PER_SECOND),
    'COPY data per second, all copy streams together. 0: unlimited.',
  ),
  applyChangesPerSecond: described(
    whole(0, MOST_CHANGES_PER_SECOND),
    'Changes that the stream applies per second. 0: unlimited. The drain of a cutover is never limited.',
  ),
};

/** `limits` of the input. */
export const limitsField = v.optional(
  v.strictObject({
    copyStreams: v.optional(entries.copyStreams, 0),
    copyBytesPerSecond: v.optional(entries.copyBytesPerSecond, 0),
    applyChangesPerSecond: v.optional(entries.applyChangesPerSecond, 0),
  }),
  {},
);

/** All limits of a migration, as in its state and in the control schema. */
export const limits = v.pipe(
  v.object({
    ...entries,
    /** `off`: the guard of the input neither measures nor holds back anything. */
    guard: v.picklist(['on', 'off']),
  }),
  v.readonly(),
);
export type Limits = v.InferOutput<typeof limits>;

/** As they are shown: without the switch of a guard that the input does not have. */
export const shownLimits = v.pipe(
  v.object({ ...limits.pipe[0].entries, guard: v.exactOptional(limits.pipe[0].entries.guard) }),
  v.readonly(),
);
export type ShownLimits = v.InferOutput<typeof shownLimits>;

export const UNLIMITED: Limits = {
  ...{ copyStreams: 0, copyBytesPerSecond: 0, applyChangesPerSecond: 0 },
  guard: 'on',
};

const change = v.strictObject({
  copyStreams: v.optional(entries.copyStreams),
  copyBytesPerSecond: v.optional(entries.copyBytesPerSecond),
  applyChangesPerSecond: v.optional(entries.applyChangesPerSecond),
  guard: v.optional(v.picklist(['on', 'off'], 'must be "on" or "off"')),
});

export type ParsedChange =
  | { readonly ok: true; readonly change: Partial<Limits> }
  | { readonly ok: false; readonly message: string };

/** Parses the input of `setLimits`: at least one limit; the others keep their values. Never throws, repeats no value. */
export function parseChange(raw: unknown): ParsedChange {
  const known = Object.keys(change.entries).join(', ');
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    return {
      ok: false,
      message: `the input of setLimits is one object like {"copyBytesPerSecond": 5000000}; known fields: ${known}`,
    };
  }
  const result = v.safeParse(change, raw);
  if (!result.success) {
    const wrong = result.issues.map((issue) => {
      const field = v.getDotPath(issue) ?? '';
      if (issue.expected !== 'never') return `"${field}" ${issue.message}`;
      const named = /^\w{1,64}$/.test(field) ? `"${field}"` : '(its name is not repeated here)';
      return `unknown field ${named}; known fields: ${known}`;
    });
    return { ok: false, message: `invalid limits: ${wrong.join('; ')}` };
  }
  const { copyStreams, copyBytesPerSecond, applyChangesPerSecond, guard } = result.output;
  const given: Partial<Limits> = {
    ...(copyStreams === undefined ? {} : { copyStreams }),
    ...(copyBytesPerSecond === undefined ? {} : { copyBytesPerSecond }),
    ...(applyChangesPerSecond === undefined ? {} : { applyChangesPerSecond }),
    ...(guard === undefined ? {} : { guard }),
  };
  if (Object.keys(given).length > 0) return { ok: true, change: given };
  return { ok: false, message: `nothing to set: give at least one of ${known}` };
}

export function sameLimits(a: Limits, b: Limits): boolean {
  return (
    a.copyStreams === b.copyStreams &&
    a.copyBytesPerSecond === b.copyBytesPerSecond &&
    a.applyChangesPerSecond === b.applyChangesPerSecond &&
    a.guard === b.guard
  );
}
