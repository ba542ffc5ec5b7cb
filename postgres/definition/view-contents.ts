/**
 * Compares what materialized views show: the rows that each side has stored, not what their queries would give now. Each view is read
 * by one short statement, which sums up the rows' hashes in the database; one that takes longer is named and not compared, because
 * whoever refreshes the view waits for its reader, and everybody else behind that.
 */
import pg from 'pg';
import type { Difference, ViewContents } from '../../contract/definition.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { TableName } from '../catalog/selection.ts';
import { keyOfName, nameOf, quoted } from '../catalog/table-name.ts';
import { printsCharsUnlike, readMajors, type Majors } from '../catalog/version-form.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { rolledBack } from '../connection/in-transaction.ts';
import { whileWatched } from '../session/liveness.ts';
import type { Session } from '../session/session.ts';
import { readViewsToFill, type ViewToFill } from '../store/view-entry.ts';
import { commonHashing } from '../verification/sides.ts';
import { sumsOf, type Hashing } from '../verification/row-hash.ts';
import type { BucketRow } from '../verification/bucket-sums.ts';
import { onBothSides, type Comparing } from './both-sides.ts';
import type { Sessions } from './found-twice.ts';
import { readScope } from './scope.ts';

const STEP = 'comparing the contents of materialized views';

/** Of one statement, and all together. The smallest views come first. Whoever refreshes a view waits for its reader, and readers for that. */
export interface ContentLimits {
  readonly viewMs: number;
  readonly totalMs: number;
}
const LIMITS: ContentLimits = { viewMs: 10_000, totalMs: 600_000 };
const LOCK_TIMEOUT_MS = 2_000;

/** The size as of the last refresh: asking for it now would wait for whoever refreshes the view. */
const VIEWS = /* sql */ `
select n.nspname as schema, c.relname as name, c.relispopulated as filled, c.relpages as pages,
       pg_catalog.array_agg(a.attname::text order by a.attname::text collate pg_catalog."C") as columns, bool_or(a.atttypid in (18, 1002)) as chars
  from unnest($1::text[], $2::text[]) as wanted (schema, name)
  join pg_catalog.pg_namespace n on n.nspname = wanted.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name and c.relkind = 'm'
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
 group by n.nspname, c.relname, c.relispopulated, c.relpages, c.oid order by pages, 1, 2`;

interface View extends TableName {
  readonly filled: boolean;
  readonly columns: readonly string[];
  readonly chars: boolean;
}

/**
 * Only of views that walferry created, and has filled: for others nothing says when they should be equal. Changes nothing.
 * @returns what differs or was not compared; null when the migration does not create the schema, or is over.
 * @throws MigrationError `Contention`, `Unreachable`, `Denied`; `signal.reason` when aborted.
 */
export function compareContents(
  migration: Migration,
  input: MigrationInput,
  work: Comparing = {},
  limits: ContentLimits = LIMITS,
): Promise<ViewContents | null> {
  const { signal, beat = () => undefined } = work;
  const progress = { step: STEP, view: '', views: 0 };
  const compare = async (sides: Sessions): Promise<ViewContents | null> => {
    const scope = await readScope(sides, migration, input);
    if (!scope.whole || !scope.registered) return null;
    const entries = await readViewsToFill(sides.target, migration);
    return compareAll(sides, { scope, entries, input, limits }, (view) => {
      signal?.throwIfAborted();
      Object.assign(progress, { view, views: progress.views + 1 });
    });
  };
  return onBothSides(migration, STEP, work, (sides) =>
    whileWatched(
      [sides.source, sides.target],
      { beat },
      () => ({ ...progress }),
      () => compare(sides),
    ),
  );
}

interface Wanted {
  readonly scope: { readonly relations: readonly TableName[] };
  readonly entries: readonly ViewToFill[];
  readonly input: Pick<MigrationInput, 'cutover'>;
  readonly limits: ContentLimits;
}

async function compareAll(
  sides: Sessions,
  { scope, entries, input, limits }: Wanted,
  report: (view: string) => void,
): Promise<ViewContents> {
  const moved = new Map(entries.map((one) => [keyOfName(one), one]));
  const names = scope.relations.filter((one) => moved.has(keyOfName(one)));
  const read = async (session: Session) =>
    (
      await session.query<View>(VIEWS, [
        names.map((one) => one.schema),
        names.map((one) => one.name),
      ])
    ).rows;
  const [here, there] = [await read(sides.source), await read(sides.target)];
  const others = new Map(there.map((view) => [keyOfName(view), view]));
  const [hashing, majors] = [
    await commonHashing(sides),
    await readMajors(sides.source, sides.target),
  ];
  const until = performance.now() + limits.totalMs;
  const found: Difference[] = [];
  let equal = 0;
  for (const view of here) {
    const [other, entry] = [others.get(keyOfName(view)), moved.get(keyOfName(view))];
    // What is missing, or has other columns, is a difference of definitions. What is empty on the source stays so.
    if (!other || !entry || !view.filled || !isShapedAlike(view, other)) continue;
    report(nameOf(view));
    if (!other.filled) {
      found.push(unfilled(view, entry, input));
      continue;
    }
    const left = until - performance.now();
    const why =
      left < 1
        ? 'the views before it took too long'
        : await compareOne(sides, view, { hashing, majors, ms: Math.min(limits.viewMs, left) });
    if (why === 'equal') equal += 1;
    else found.push(why === 'different' ? different(view, entry, input) : unread(view, why));
  }
  return { equal, found };
}

function isShapedAlike(view: View, other: View): boolean {
  return JSON.stringify(view.columns) === JSON.stringify(other.columns);
}

const REFRESH = ({ schema, name }: TableName) =>
  `refresh materialized view ${quoted({ schema, name })};`;

function unfilled(view: View, entry: ViewToFill, { cutover }: Wanted['input']): Difference {
  const object = nameOf(view);
  if (entry.refresh || (cutover.refresh && entry.fillsLater)) {
    const when =
      entry.refresh && !cutover.refresh
        ? 'when the target is consistent'
        : 'by the cutover at the latest';
    return {
      object,
      what: `is not filled on the target yet: walferry fills it ${when}`,
      contents: 'later',
    };
  }
  const what = 'is not filled on the target, and the cutover does not fill it';
  return { object, what, contents: 'stays', run: REFRESH(view) };
}

function different(view: View, entry: ViewToFill, { cutover }: Wanted['input']): Difference {
  const refreshes = cutover.refresh && entry.refresh;
  return {
    object: nameOf(view),
    what: `shows other rows on the target, and the cutover ${refreshes ? 'refreshes it there' : 'does not refresh it'}`,
    contents: refreshes ? 'later' : 'stays',
    // The comment is for whoever runs it: a stale view on the source differs, too.
    run: `${REFRESH(view)} -- on both sides: what differs then comes from its query, or from what it reads`,
  };
}

function unread(view: View, why: string): Difference {
  return { object: nameOf(view), what: `was not compared: ${why}`, contents: 'unknown' };
}

interface How {
  readonly hashing: Hashing;
  readonly majors: Majors;
  readonly ms: number;
}

/** @returns `equal`, `different`, or why it was not compared. */
async function compareOne(
  sides: Sessions,
  view: View,
  { hashing, majors, ms }: How,
): Promise<string> {
  if (view.chars && printsCharsUnlike(majors)) {
    return `"char" prints differently on ${majors.source} and ${majors.target}`;
  }
  const { schema, name, columns } = view;
  const shape = { columns, key: null };
  const statement = sumsOf({ table: { schema, name }, shape, hashing, conditions: [] });
  const sums = (session: Session) => summed(session, statement, ms);
  const [here, there] = await Promise.all([sums(sides.source), sums(sides.target)]);
  if ('why' in here) return `${here.why} on the source`;
  if ('why' in there) return `${there.why} on the target`;
  return here.sums === there.sums ? 'equal' : 'different';
}

type Summed = { readonly sums: string } | { readonly why: string };

async function summed(session: Session, statement: string, ms: number): Promise<Summed> {
  const limits = /* sql */ `begin read only; set local statement_timeout = ${Math.ceil(ms)};
    set local lock_timeout = ${LOCK_TIMEOUT_MS}; set local max_parallel_workers_per_gather = 0`;
  try {
    const rows = await rolledBack(
      session,
      async () => (await session.query<BucketRow>(statement)).rows,
      limits,
    );
    const inOrder = rows.sort((a, b) => a.bucket - b.bucket);
    return {
      sums: JSON.stringify(
        inOrder.map(({ bucket, ...sums }) => [bucket, sums.rows, sums.low, sums.high]),
      ),
    };
  } catch (error) {
    const why = error instanceof pg.DatabaseError ? whyUnread(sqlstate(error) ?? '', ms) : null;
    if (why === null) throw error;
    return { why };
  }
}

/** Connections, resources and the server's own state: another try may succeed. */
const PASSING: ReadonlySet<string> = new Set(['08', '40', '53', '57', '58']);

function whyUnread(state: string, ms: number): string | null {
  if (state === SQLSTATE.queryCanceled)
    return `reading it takes longer than ${Math.ceil(ms / 1000)} s`;
  if (state === SQLSTATE.lockNotAvailable) return 'it is locked';
  if (state === SQLSTATE.insufficientPrivilege) return 'the role of walferry may not read it';
  return PASSING.has(state.slice(0, 2)) ? null : `it cannot be read (SQLSTATE ${state})`;
}
