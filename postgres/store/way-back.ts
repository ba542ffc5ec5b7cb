/**
 * The row of a way back: on the old database, in tables of the same names, it describes the stream from the new database. Its id
 * ends in `-back` (contract/reversed.ts). Two migrations may cross (A to B and B to A, of other tables), so a control schema can
 * hold rows of both kinds.
 *
 * The state at the release is recorded as the first exported snapshot. It sees exactly the transactions whose commit record is
 * before the release message: all that walferry has written. The stream's filter skips them, even if the slot delivers some.
 */
import type pg from 'pg';
import * as v from 'valibot';
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Relation } from '../catalog/relation.ts';
import type { TableName } from '../catalog/selection.ts';
import type { Identity } from '../identity/identity.ts';
import { readNewestSnapshot } from './exported-snapshot.ts';
import { registerSide } from './side.ts';
import { confirmTables, joinSnapshot, registerRelations, type Joining } from './table-move.ts';

/** A table of the new database that the way back leaves out. */
const notReturned = v.object({ schema: v.string(), name: v.string(), why: v.string() });
export type NotReturned = v.InferOutput<typeof notReturned>;

/** Number of the snapshot that stands for the release, and of the pass of all tables. */
const RELEASE = 1;
/** Tables per statement: definitions of wide tables take some kilobytes each. */
const TABLES_PER_STATEMENT = 500;

export interface WayBack {
  readonly reverse: Migration;
  /** The new database: the source of the way back. */
  readonly source: Identity;
  readonly sourceDatabase: string;
  /** The old database, which `old` is a session on. */
  readonly target: Identity;
}

/** Writes the row of a way back into an existing control schema. Idempotent. */
export async function registerWayBack(
  old: pg.ClientBase,
  { reverse, source, sourceDatabase, target }: WayBack,
): Promise<void> {
  await old.query(
    /* sql */ `
    insert into walferry.migration (id, workflow_id, slot, source_system, source_database, tables_created)
    values ($1, $2, $3, $4, $5, false) on conflict (id) do nothing`,
    [reverse.id, reverse.workflowId, reverse.slot, source.system, sourceDatabase],
  );
  await old.query(
    /* sql */ `insert into walferry.throttle (migration) values ($1) on conflict do nothing`,
    [reverse.id],
  );
  await registerSide(old, reverse, 'source', source);
  await registerSide(old, reverse, 'target', target);
}

/**
 * Records which tables the stream follows, and their definitions. Replaces an earlier plan: a cutover that was undone is followed
 * by another one. In the caller's transaction, which locks the row, so that no other attempt starts the stream meanwhile.
 * @throws MigrationError `Fenced` if the way back has started: its plan is the stream's from then on.
 */
export async function planWayBack(
  old: pg.ClientBase,
  reverse: Migration,
  plan: {
    readonly relations: readonly Relation[];
    readonly joining: readonly Joining[];
    readonly notReturned: readonly NotReturned[];
  },
): Promise<void> {
  await old.query(/* sql */ `select from walferry.migration where id = $1 for update`, [
    reverse.id,
  ]);
  const started = await readStart(old, reverse);
  if (started !== null) {
    throw new MigrationError(
      'Fenced',
      `the way back has started at ${started}: an earlier attempt planned it`,
      { lsn: started },
    );
  }
  await old.query(/* sql */ `delete from walferry.relation where migration = $1`, [reverse.id]);
  await old.query(
    /* sql */ `update walferry.migration
                   set not_returned = $2, source_schemas = null, doubted_schemas = null, doubted_before = null, doubted_until = null, withheld = null
                 where id = $1`,
    [reverse.id, JSON.stringify(plan.notReturned)],
  );
  await registerRelations(old, reverse, plan.relations);
  for (let at = 0; at < plan.joining.length; at += TABLES_PER_STATEMENT) {
    const some = plan.joining.slice(at, at + TABLES_PER_STATEMENT);
    await joinSnapshot(old, reverse, some, RELEASE);
  }
}

/** Where the way back starts; null before the release. */
export async function readStart(old: pg.ClientBase, reverse: Migration): Promise<Lsn | null> {
  return (await readNewestSnapshot(old, reverse))?.lsn ?? null;
}

/** Patterns of the tables that the plan leaves out. @throws MigrationError `CheckpointMissing` if nothing is planned. */
export async function readNotReturned(old: pg.ClientBase, reverse: Migration): Promise<string[]> {
  const { rows } = await old.query<{ left: unknown }>(
    /* sql */ `select not_returned as left from walferry.migration where id = $1`,
    [reverse.id],
  );
  const left = v.parse(v.nullish(v.array(notReturned)), rows[0]?.left);
  if (left != null) return left.map(patternOf);
  throw new MigrationError(
    'CheckpointMissing',
    `the database "${reverse.target}" has no plan of the way back: schema walferry is missing there, or was replaced`,
    { object: 'walferry.migration' },
  );
}

/**
 * The release is committed: the stream starts there. Durable when this returns, and final: a later call with another position is
 * refused, and so is a late attempt to create the slot (`storeConsistentPoint`).
 * @param at end of the release message in the new database's WAL.
 * @param next id of a transaction of the new database that began after the release.
 * @returns false if an earlier attempt has started it.
 * @throws MigrationError `CheckpointMissing` without a row, `Internal` for another position.
 */
export async function startWayBack(
  old: pg.ClientBase,
  reverse: Migration,
  at: Lsn,
  next: bigint,
): Promise<boolean> {
  await old.query(/* sql */ `set local synchronous_commit = on`);
  const { rows } = await old.query<{ epoch: string }>(
    /* sql */ `select epoch::text from walferry.migration where id = $1 for update`,
    [reverse.id],
  );
  if (rows[0] === undefined) {
    throw new MigrationError(
      'CheckpointMissing',
      `the database "${reverse.target}" has no record of the way back: schema walferry is missing there, or was replaced`,
      { object: 'walferry.migration' },
    );
  }
  const started = await readStart(old, reverse);
  if (started !== null) {
    if (compareLsn(started, at) === 0) return false;
    throw new MigrationError('Internal', `the way back has started at ${started}, not at ${at}`, {
      lsn: started,
    });
  }
  await old.query(
    /* sql */ `
    insert into walferry.exported_snapshot
      (migration, number, snapshot, snapshot_xmin, snapshot_xmax, snapshot_xip, lsn, owner_pid, owner_started)
    values ($1, ${RELEASE}, 'release', $2, $2, '{}', $3, 0, pg_catalog.now())`,
    [reverse.id, next.toString(), at],
  );
  // No last commit is known: the walks back through history begin with the first commit that arrives.
  await old.query(
    /* sql */ `
    update walferry.migration
       set consistent_lsn = $2, confirmed_lsn = $2, commit_lsn = null, consistent = true where id = $1`,
    [reverse.id, at],
  );
  await confirmTables(old, reverse, at);
  return true;
}

/** Whether the old database has the row of a way back; also without a control schema. */
export async function hasWayBack(old: pg.ClientBase, reverse: Migration): Promise<boolean> {
  const { rows } = await old.query<{ there: boolean }>(
    /* sql */ `select pg_catalog.to_regclass('walferry.migration') is not null as there`,
  );
  if (rows[0]?.there !== true) return false;
  const found = await old.query(/* sql */ `select from walferry.migration where id = $1`, [
    reverse.id,
  ]);
  return found.rowCount === 1;
}

/** A pattern of the selection that matches exactly this table. */
function patternOf({ schema, name }: TableName): string {
  const quoted = (part: string): string => `"${part.replaceAll('"', '""')}"`;
  return `${quoted(schema)}.${quoted(name)}`;
}
