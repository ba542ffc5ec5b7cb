/** The fence of kind `trigger`, on a source: see `Fence` (fence-contract.ts) for what each function promises. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { MOST_NAMED, type InstallReport, type ProofReport } from '../../contract/fence.ts';
import { listed } from '../../contract/listed.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import type { Candidate } from '../catalog/read-relations.ts';
import { nameOf } from '../catalog/table-name.ts';
import { classify } from '../connection/failure.ts';
import type { FencedInput, Proving } from './fence-contract.ts';
import { binds, readFencedTables, readTriggers } from './fenced-tables.ts';
import { ensureGate, readSelection } from './gate.ts';
import { installTriggers, namesOf } from './install-triggers.ts';
import { left, untilNoOneWrites, untilNoTableEnters } from './prove.ts';
import { refuseSubscribed } from './subscription.ts';

/** @throws MigrationError `FenceRefused` naming the tables whose TRIGGER right is missing; `Denied` without CREATE. */
export async function installFence(
  source: pg.ClientBase,
  migration: Migration,
  { tables: selection }: Pick<FencedInput, 'tables'>,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<InstallReport> {
  try {
    await ensureGate(source, migration, selection, { initial: 'open' });
    const { tables, also } = await readFencedTables(source, selection);
    const owned = await readOwned(source, tables);
    const states = await readTriggers(source, migration, tables);
    const wanting = tables.flatMap((table) => {
      const [state, always] = [states.get(table.oid), owned.has(table.oid)];
      const fits = always ? state === 'A' : binds(state);
      return fits ? [] : [{ ...table, always, there: state !== undefined }];
    });
    const { waiting, denied } = await installTriggers(source, migration, wanting, work);
    if (denied.length > 0) throw withoutRight(migration, denied);
    return {
      tables: tables.length - waiting.length,
      waiting: namesOf(waiting, MOST_NAMED),
      also: also.slice(0, MOST_NAMED),
      always: tables.every(({ oid }) => owned.has(oid)),
    };
  } catch (error) {
    work.signal.throwIfAborted();
    throw classify(error, { step: 'installing the fence', side: 'source' }, 'FenceRefused');
  }
}

/** Proves on every call that each table has the fence, too: one may have been created, or its trigger disabled, since the last. */
export async function proveFence(
  source: pg.ClientBase,
  migration: Migration,
  work: Pick<Work, 'signal' | 'beat'>,
  how: Proving,
): Promise<ProofReport> {
  try {
    const selection = await readSelection(source, migration);
    if (selection === null) throw incomplete(migration, 'it is not installed');
    const { tables } = await readFencedTables(source, selection);
    await requireComplete(source, migration, tables);
    const oids = tables.map(({ oid }) => oid);
    const proof = await untilNoOneWrites(source, oids, work, how);
    await untilNoTableEnters(source, oids, selection, work, left(how, proof));
    // Again: one that was waited for may have brought a table without it.
    await requireComplete(source, migration, (await readFencedTables(source, selection)).tables);
    return proof;
  } catch (error) {
    work.signal.throwIfAborted();
    throw classify(error, { step: 'proving the fence', side: 'source' }, 'FenceRefused');
  }
}

/** @throws MigrationError `FenceRefused` naming tables without a trigger that binds, or subscriptions that pass it. */
async function requireComplete(
  source: pg.ClientBase,
  migration: Migration,
  tables: readonly Candidate[],
): Promise<void> {
  const states = await readTriggers(source, migration, tables);
  const open = tables.filter(({ oid }) => !binds(states.get(oid)));
  if (open.length > 0) {
    throw incomplete(
      migration,
      `tables have no trigger that refuses writes, because they were created or altered since: ${listed(open.map(nameOf), MOST_NAMED)}`,
    );
  }
  await refuseSubscribed(source, migration, tables);
}

function incomplete({ source }: Migration, why: string): MigrationError {
  return new MigrationError('FenceRefused', `the fence on "${source}" does not bind: ${why}`);
}

function withoutRight(
  { source }: Migration,
  denied: Parameters<typeof namesOf>[0],
): MigrationError {
  return new MigrationError(
    'FenceRefused',
    `the role may not create triggers on "${source}" for: ${listed(denied.map(nameOf), MOST_NAMED)}; grant TRIGGER on them, or choose another fence`,
    { sqlstate: '42501' },
  );
}

/** Tables that this role owns, by itself or as a member: only an owner may say ENABLE ALWAYS. */
async function readOwned(
  source: pg.ClientBase,
  tables: readonly Candidate[],
): Promise<ReadonlySet<number>> {
  const { rows } = await source.query<{ oid: number }>(
    /* sql */ `
    select c.oid::int8::float8 as oid from pg_catalog.pg_class c
     where c.oid = any($1::oid[]) and pg_catalog.pg_has_role(c.relowner, 'usage')`,
    [tables.map(({ oid }) => oid)],
  );
  return new Set(rows.map(({ oid }) => oid));
}
