/**
 * What is created only once the target is consistent, while the stream runs: unique and exclusion constraints that the copied
 * rows violated (fixes of these rows arrive with the stream), foreign keys (added unchecked, then validated without blocking
 * writers), triggers, rules, policies, row security and what pg_dump postponed. Every entry is one transaction with its mark.
 */
import { stepSessions } from '../session/open.ts';
import { runOther } from './run-other.ts';
import { claimEntry } from '../store/entry-mark.ts';
import { noteSecured } from '../store/row-security-entry.ts';
import { nameEntry, readWaiting, readEntries, type StoredEntry } from '../store/schema-entry.ts';
import { reportPhase } from '../store/entry-count.ts';
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { IndexReport, Work } from '../../contract/work.ts';
import type { TableName } from '../catalog/selection.ts';
import { Defaults } from '../connection/defaults.ts';
import { combinedFailure, isConstraintFailure } from './violating-rows.ts';
import { addForeignKey } from './foreign-key.ts';
import { buildIndex } from './build-indexes.ts';
import type { Session } from '../session/session.ts';
import { grantOnPresent } from './late-grant.ts';
import { aboutOthers, creations } from '../archive/existing-object.ts';
import { OwnerRights } from '../archive/owner.ts';
import { retryLock, BRIEF_LOCK_TIMEOUT } from '../session/brief-lock.ts';
import { probeFiringStates, disableEventTrigger, disableOnTables } from './disable-trigger.ts';
import { runEntry } from './run-entry.ts';
import { entryToday, recordDropped } from './source-today.ts';
import { failed, prepareSession } from '../session/ddl-failure.ts';
import { whileWatched } from '../session/liveness.ts';
import { type Step, buildFailure } from './build-failure.ts';
import { validateAll } from './validate-foreign-keys.ts';

/**
 * Builds the remaining post-data. Idempotent; abortable. Does nothing when walferry did not create the tables.
 * Triggers and rules that would fire in replica role are created disabled: `enableTriggers` enables them at the cutover.
 * @throws MigrationError `ConstraintFailed` with every unique index, exclusion constraint and foreign key that rows break,
 *   with count and query, after all others were built; `SchemaFailed`; `Contention` when a lock was not granted for about a
 *   minute; `signal.reason` when aborted.
 */
export async function buildConstraints(
  migration: Migration,
  input: MigrationInput,
  work: Work,
): Promise<IndexReport> {
  await using sessions = stepSessions({ side: 'target', migration, purpose: 'index' }, work.signal);
  const prepare = (client: pg.ClientBase) => prepareSession(client, BRIEF_LOCK_TIMEOUT);
  try {
    const first = await sessions.open(prepare);
    const [entries, unbuilt, tables] = await whileWatched(
      [first],
      work,
      () => ({ step: 'reading the objects to build' }),
      () => readPlan(first, migration),
    );
    if (entries.some(({ done }) => !done)) {
      while (sessions.all.length < input.copy.parallelism) await sessions.open(prepare);
    }
    const progress = { now: '', done: 0, total: unbuilt.length + entries.length };
    const step: Step = {
      migration,
      work,
      tables: new Map(tables.map((entry) => [entry.id, entry])),
      enabled: await probeFiringStates(first),
      others: aboutOthers([...unbuilt, ...entries], creations([...tables, ...unbuilt, ...entries])),
      defaults: await Defaults.read(migration.target, 'index', first),
    };
    const bypasses = await bypassesRowSecurity(first);
    await whileWatched(
      sessions.all,
      work,
      () => ({ step: 'building constraints', ...progress }),
      async () => {
        const broken = await buildAll(first, [...unbuilt, ...entries], step, bypasses, progress);
        broken.push(...(await validateAll(sessions.all, step, (now) => (progress.now = now))));
        const failure = combinedFailure(broken);
        if (failure !== undefined) throw failure;
      },
    );
    return await reportPhase(first, migration.id, 'constraints');
  } catch (error) {
    work.signal.throwIfAborted();
    throw failed(error, { what: 'constraints could not be built', code: 'SchemaFailed' });
  }
}

/** Triggers and rules depend on other entries; grants and comments are about other entries. */
const NEED_OTHERS = new Set(['TRIGGER', 'RULE', 'ACL', 'COMMENT']);

/** The step's entries, unbuilt indexes, and, if one of those requires it, all entries that were built before. */
async function readPlan(
  target: pg.ClientBase,
  migration: Migration,
): Promise<readonly [StoredEntry[], StoredEntry[], StoredEntry[]]> {
  const entries = await readEntries(target, migration.id, ['constraints']);
  const unbuilt = await readWaiting(target, migration.id, 'indexes');
  const needsOthers = [...unbuilt, ...entries].some(
    ({ kind, done }) => !done && NEED_OTHERS.has(kind),
  );
  return [
    entries,
    unbuilt,
    // Hundreds of thousands of statements, and rarely needed.
    needsOthers ? await readEntries(target, migration.id, ['tables', 'indexes']) : [],
  ];
}

/** @returns the failures of entries that rows break; entries that depend on those wait for the next attempt. */
async function buildAll(
  session: Session,
  entries: readonly StoredEntry[],
  step: Step,
  bypasses: boolean,
  progress: { now: string; done: number },
): Promise<MigrationError[]> {
  const broken: MigrationError[] = [];
  const without = new Set<number>();
  for (const entry of entries) {
    progress.now = nameEntry(entry);
    // Row security would hide rows from a role without BYPASSRLS, which still has to apply changes to them.
    const later = entry.kind === 'ROW SECURITY' && !bypasses;
    const left = entry.depends.some((id) => without.has(id));
    if (left) without.add(entry.id);
    else if (later) {
      await session.transaction((client) => noteSecured(client, step.migration, entry.id));
    } else if (!entry.done) {
      try {
        // Foreign keys may depend on a unique index that had to wait until its rows were fixed.
        if (entry.phase === 'indexes') {
          await retryLock(step.work, () => buildIndex(session, step.migration, entry, step));
        } else await buildOne(session, entry, step);
      } catch (error) {
        if (!isConstraintFailure(error)) throw error;
        broken.push(error);
        without.add(entry.id);
      }
    }
    progress.done += 1;
  }
  return broken;
}

/** Like `buildIndex`, handles what the source has dropped or altered since. */
async function buildOne(session: Session, entry: StoredEntry, step: Step): Promise<void> {
  const { migration, work } = step;
  try {
    await buildStored(session, entry, step);
  } catch (error) {
    const place = { migration, entry, session };
    const today = await entryToday(error, place, work);
    if (today === 'gone') await recordDropped(place, work);
    else if (today !== null) await buildOne(session, today, step);
    else throw await buildFailure(error, entry, step, session);
  }
}

async function buildStored(session: Session, entry: StoredEntry, step: Step): Promise<void> {
  const { migration, work } = step;
  await retryLock(work, () =>
    session.transaction(async (client) => {
      if (entry.kind === 'FK CONSTRAINT') {
        await addForeignKey(client, migration, entry);
        return;
      }
      if (!(await claimEntry(client, migration.id, entry.id))) return;
      if (step.others.has(entry.id)) {
        if (entry.kind === 'ACL') await grantOnPresent(client, migration, entry);
        else await runOther(client, migration.id, entry);
        return;
      }
      const rights = new OwnerRights(client);
      await runEntry(client, entry, rights);
      await rights.takeBack();
      if (entry.kind === 'EVENT TRIGGER') await disableEventTrigger(client, migration, entry.name);
      if (entry.kind === 'TRIGGER' || entry.kind === 'RULE') {
        await disableOnTables(client, migration, tablesOf(entry, step), step.enabled, true);
      }
    }),
  );
}

function tablesOf(entry: StoredEntry, step: Step): TableName[] {
  if (entry.tableToday) return [entry.tableToday];
  return entry.depends.flatMap((id) => {
    const on = step.tables.get(id);
    if (on === undefined || on.schema === null) return [];
    // Views can have triggers and rules, too. The server does not allow disabling them, but nothing writes to views here.
    return on.kind === 'TABLE' ? [{ schema: on.schema, name: on.name }] : [];
  });
}

async function bypassesRowSecurity(target: pg.ClientBase): Promise<boolean> {
  const { rows } = await target.query<{ bypasses: boolean }>(/* sql */ `
    select rolsuper or rolbypassrls as bypasses from pg_catalog.pg_roles where rolname = current_user`);
  return rows[0]?.bypasses ?? false;
}
