/**
 * What may only stand once the target is first consistent, while the stream goes on: unique indexes that the copied rows
 * violated (mended rows arrive with the stream), foreign keys (added unchecked, then
 * validated without stopping writers), triggers, rules, policies, row security, what pg_dump postponed, and at the end
 * materialized views. Every entry is one transaction with its mark.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { MigrationInput } from '../../contract/input.ts';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { IndexReport, Work } from '../../contract/work.ts';
import { sqlstate } from '../connection/failure.ts';
import { claimEntry, nameEntry, partOf, readEntries, type StoredEntry } from './control.ts';
import { addForeignKey, validateForeignKey } from './foreign-key.ts';
import { buildIndex } from './indexes.ts';
import { endEarlierSessions, Lanes, type Lane } from './lane.ts';
import { loudStates, quietEvent, quietTables } from './quiet.ts';
import { failed, isViolation, prepareSession } from './statement.ts';
import { runTasks, type Task } from './tasks.ts';
import { whileWatched } from './watch.ts';

/** A lock that is waited for blocks everybody behind it, the stream's apply transactions among them. */
const LOCK_TIMEOUT_MS = 2_000;
const LOCK_TRIES = 30;
const LOCK_PAUSE_MS = 500;
const NOT_HAD = new Set(['55P03', '40P01']);

interface Step {
  readonly migration: Migration;
  readonly work: Work;
  readonly all: ReadonlyMap<number, StoredEntry>;
  readonly loud: readonly string[];
}

/**
 * Builds the rest of the post-data. Idempotent; abortable. Does nothing when the tables were not made by walferry.
 * Triggers and rules that would fire in replica role are created disabled: `enableTriggers` wakes them at cutover.
 * @throws MigrationError `ConstraintFailed` for rows that break a unique index or a foreign key, `SchemaFailed`, `Contention` when a lock
 *   was not had in about a minute; `signal.reason` when aborted.
 */
export async function buildConstraints(
  migration: Migration,
  input: MigrationInput,
  work: Work,
): Promise<IndexReport> {
  await using lanes = new Lanes(migration.target, 'index', work.signal);
  const prepare = async (client: pg.Client) => {
    await prepareSession(client);
    await client.query(/* sql */ `set lock_timeout = ${LOCK_TIMEOUT_MS}`);
  };
  try {
    const first = await lanes.open(prepare);
    await endEarlierSessions(first.client, 'index');
    const all = await readEntries(first.client, migration.id, ['tables', 'indexes', 'constraints']);
    const entries = all.filter(({ phase }) => phase === 'constraints');
    const unbuilt = all.filter(({ phase, done }) => phase === 'indexes' && !done);
    const views = all.filter(({ refresh }) => refresh);
    if (entries.some(({ done }) => !done)) {
      while (lanes.all.length < input.copy.parallelism) await lanes.open(prepare);
    }
    const progress = { now: '', done: 0, total: entries.length + views.length };
    const step: Step = {
      migration,
      work,
      all: new Map(all.map((entry) => [entry.id, entry])),
      loud: await loudStates(first.client),
    };
    const bypasses = await bypassesRowSecurity(first.client);
    await whileWatched(
      { service: migration.target, purpose: 'index', pids: lanes.all.map(({ pid }) => pid) },
      work,
      () => ({ step: 'building constraints', ...progress }),
      async () => {
        // Unique indexes that the copied rows violated. Foreign keys may stand on them.
        for (const entry of unbuilt) {
          progress.now = nameEntry(entry);
          await patiently(work, () => buildIndex(first, migration, entry, work));
        }
        for (const entry of entries) {
          progress.now = nameEntry(entry);
          // Row security would hide rows from a role without BYPASSRLS that still has to apply changes to them.
          const later = entry.kind === 'ROW SECURITY' && !bypasses;
          if (!entry.done && !later) await buildOne(first, entry, step);
          progress.done += 1;
        }
        await validateAll(lanes.all, step, (now) => (progress.now = now));
        for (const view of views) {
          progress.now = nameEntry(view);
          await refresh(first, view, work);
          progress.done += 1;
        }
      },
    );
    return {
      indexes: entries.filter(({ kind }) => kind === 'INDEX').length,
      constraints: entries.filter(({ kind }) => kind.endsWith('CONSTRAINT')).length,
    };
  } catch (error) {
    work.signal.throwIfAborted();
    throw failed(error, { what: 'constraints could not be built', code: 'SchemaFailed' });
  }
}

async function buildOne(lane: Lane, entry: StoredEntry, step: Step): Promise<void> {
  const { migration, work } = step;
  await patiently(work, () =>
    lane.transaction(async (client) => {
      if (entry.kind === 'FK CONSTRAINT') {
        await addForeignKey(client, migration, entry);
        return;
      }
      if (!(await claimEntry(client, migration.id, entry.id))) return;
      await client.query(entry.sql);
      if (entry.kind === 'EVENT TRIGGER') await quietEvent(client, migration, entry.name);
      if (entry.kind === 'TRIGGER' || entry.kind === 'RULE') {
        await quietTables(client, migration, tablesOf(entry, step), step.loud);
      }
    }),
  ).catch((error: unknown) => {
    throw named(error, entry, step);
  });
}

function tablesOf(entry: StoredEntry, step: Step): { schema: string; name: string }[] {
  return entry.depends.flatMap((id) => {
    const on = step.all.get(id);
    if (on === undefined || on.schema === null) return [];
    // Views too can have triggers and rules, which the server does not let anybody switch off; nothing writes to views here.
    return on.kind === 'TABLE' ? [{ schema: on.schema, name: on.name }] : [];
  });
}

/** Validates the foreign keys that were added, several at a time, one at a time for each table. */
async function validateAll(
  lanes: readonly Lane[],
  step: Step,
  tell: (now: string) => void,
): Promise<void> {
  const [first] = lanes;
  if (first === undefined) return;
  const entries = await readEntries(first.client, step.migration.id, ['constraints']);
  const tasks = entries
    .filter(({ kind, added, done }) => kind === 'FK CONSTRAINT' && added !== null && !done)
    .map((entry): Task & { entry: StoredEntry } => ({
      id: entry.id,
      depends: [],
      tables: entry.tables.slice(0, 1),
      exclusive: true,
      weight: 0,
      label: nameEntry(entry),
      entry,
    }));
  await runTasks(
    tasks,
    lanes,
    async (lane, { entry }) => {
      await patiently(step.work, () =>
        lane.transaction((client) => validateForeignKey(client, step.migration, entry)),
      ).catch((error: unknown) => {
        throw named(error, entry, step);
      });
    },
    (running) => tell(running.slice(0, 3).join(', ')),
  );
}

async function refresh(lane: Lane, view: StoredEntry, work: Work): Promise<void> {
  const name = `${pg.escapeIdentifier(view.schema ?? '')}.${pg.escapeIdentifier(view.name)}`;
  const { rows } = await lane.client.query<{ populated: boolean }>(
    /* sql */ `select relispopulated as populated from pg_catalog.pg_class where oid = $1::regclass`,
    [name],
  );
  if (rows[0]?.populated === true) return;
  await patiently(work, () =>
    lane.run((client) => client.query(/* sql */ `refresh materialized view ${name}`)),
  ).catch((error: unknown) => {
    work.signal.throwIfAborted();
    throw failed(error, {
      what: `${nameEntry(view)} could not be refreshed`,
      object: nameEntry(view),
      code: isViolation(error) ? 'ConstraintFailed' : 'SchemaFailed',
    });
  });
}

/** Tries again when a lock was not had in its short time: the stream's transactions come and go. */
async function patiently<T>(work: Work, run: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await run();
    } catch (error) {
      if (!NOT_HAD.has(sqlstate(error) ?? '') || tries >= LOCK_TRIES) throw error;
      await sleep(LOCK_PAUSE_MS, undefined, { signal: work.signal }).catch(() => undefined);
      work.signal.throwIfAborted();
    }
  }
}

function named(error: unknown, entry: StoredEntry, step: Step): unknown {
  step.work.signal.throwIfAborted();
  if (error instanceof MigrationError) return error;
  const [table] = entry.tables;
  const part = partOf(entry);
  return failed(error, {
    what: `${nameEntry(entry)} could not be built`,
    object: nameEntry(entry),
    ...(table === undefined ? {} : { table }),
    ...(part === null ? {} : { constraint: part }),
    code: isViolation(error) ? 'ConstraintFailed' : 'SchemaFailed',
  });
}

async function bypassesRowSecurity(target: pg.ClientBase): Promise<boolean> {
  const { rows } = await target.query<{ bypasses: boolean }>(/* sql */ `
    select rolsuper or rolbypassrls as bypasses from pg_catalog.pg_roles where rolname = current_user`);
  return rows[0]?.bypasses ?? false;
}
