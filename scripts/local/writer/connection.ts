/**
 * One connection of the application. It works until it is stopped, survives restarts of the database, and records the outcome
 * of every transaction in the ledger: committed only when COMMIT was answered, unknown when the answer was lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, Database } from './database.ts';
import type { Ledger } from './ledger.ts';
import type { Pace } from './pace.ts';
import type { Random } from './random.ts';
import { REFUSED, TRY_AGAIN_MS, type Refusals } from './refusal.ts';
import { Transaction } from './transaction.ts';
import { chooseWork } from './work.ts';
import type { Known } from './work.ts';

export interface Totals {
  changes: number;
  committed: number;
  rolledBack: number;
  unknown: number;
  /** Statements that a closed database refused. */
  refused: number;
  conflicts: number;
  reconnects: number;
}

export interface ConnectionSettings {
  /** At least one; where one refuses, the next is tried. */
  readonly databases: readonly [Database, ...Database[]];
  readonly refusals: Refusals;
  readonly ledger: Ledger | undefined;
  readonly pace: Pace;
  readonly random: Random;
  readonly known: Known;
  readonly totals: Totals;
  readonly stop: AbortSignal;
}

const RECONNECT_MS = 250;
/** Transactions take a few statements; without pauses they would hardly ever overlap. */
const PAUSE = { chance: 0.15, mostMs: 8 };
/** Chance of a transaction that stays open while hundreds of others commit. */
const LONG_PAUSE = { chance: 0.003, ms: 700 };
const SEVERAL_STEPS = 0.3;
const UNDO_PART = 0.08;
const ROLL_BACK = 0.03;

/** Runs until `stop` is aborted; the current transaction is finished first. */
export async function runConnection(settings: ConnectionSettings): Promise<void> {
  const { databases, stop, totals } = settings;
  let [database] = databases;
  while (!stop.aborted) {
    try {
      await using client = await database.connect();
      while (!stop.aborted && (await oneTransaction(client, database, settings)) === 'ended');
      database = databases[databases.indexOf(database) + 1] ?? databases[0];
    } catch (error) {
      if (!isConnectionLost(error)) throw error;
      totals.reconnects += 1;
      await sleep(RECONNECT_MS);
    }
  }
}

/** @returns `elsewhere` when the database refuses writes and there is another one to try. */
async function oneTransaction(
  client: Connection,
  { service }: Database,
  settings: ConnectionSettings,
): Promise<'ended' | 'elsewhere'> {
  const { pace, ledger, totals, random, refusals, databases } = settings;
  await pace.turn(settings.stop);
  if (settings.stop.aborted) return 'ended';
  const transaction = new Transaction(client);
  const began = performance.now();
  try {
    await client.query('begin');
    await work(transaction, settings);
    if (random.chance(ROLL_BACK)) {
      await client.query('rollback');
      totals.rolledBack += 1;
      ledger?.rolledBack([...transaction.changes, ...transaction.undone]);
      return 'ended';
    }
  } catch (error) {
    // Before COMMIT was sent nothing can have become visible, whatever failed.
    ledger?.rolledBack([...transaction.changes, ...transaction.undone]);
    totals.rolledBack += 1;
    if (isConnectionLost(error)) throw error;
    const closed = sqlstate(error) === REFUSED;
    if (!closed && !isConflict(error)) throw error;
    await client.query('rollback');
    if (!closed) {
      totals.conflicts += 1;
      return 'ended';
    }
    refusals.refused(service);
    await sleep(TRY_AGAIN_MS);
    return databases.length > 1 ? 'elsewhere' : 'ended';
  }
  await commit(client, transaction, settings);
  // One that found no row to change says nothing about the fence.
  if (transaction.changes.length > 0) refusals.accepted(service, began);
  return 'ended';
}

async function work(transaction: Transaction, settings: ConnectionSettings): Promise<void> {
  const { random, known } = settings;
  do {
    const step = chooseWork(random);
    if (random.chance(UNDO_PART)) {
      await transaction.tryAndUndo(() => chooseWork(random)(transaction, random, known));
    }
    await step(transaction, random, known);
    if (random.chance(LONG_PAUSE.chance)) await sleep(LONG_PAUSE.ms);
    else if (random.chance(PAUSE.chance)) await sleep(random.between(1, PAUSE.mostMs));
  } while (random.chance(SEVERAL_STEPS));
}

async function commit(
  client: Connection,
  transaction: Transaction,
  { ledger, totals, pace }: ConnectionSettings,
): Promise<void> {
  ledger?.rolledBack(transaction.undone);
  const serial = ledger?.sent(transaction.changes);
  const ended = (outcome: 'committed' | 'rolledback' | 'unknown') => {
    if (serial !== undefined) ledger?.ended(serial, outcome);
  };
  try {
    await client.query('commit');
  } catch (error) {
    if (!isConnectionLost(error)) {
      ended('rolledback');
      throw error;
    }
    ended('unknown');
    totals.unknown += 1;
    throw error;
  }
  ended('committed');
  totals.committed += 1;
  totals.changes += transaction.changes.length;
  pace.did(transaction.changes.length);
}

/** Conflicts with other transactions: deadlock, serialization, a foreign key or unique value in use. */
const CONFLICTS = new Set(['40P01', '40001', '23503', '23505', '55P03']);

function isConflict(error: unknown): boolean {
  return CONFLICTS.has(sqlstate(error) ?? '');
}

/** Without an SQLSTATE there was no answer; 57P0x means that the server is stopping or starting, 53300 that it is full. */
function isConnectionLost(error: unknown): boolean {
  const code = sqlstate(error);
  return code === undefined ? error instanceof Error : /^(57P0|08|53300)/.test(code);
}

function sqlstate(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  // Node's own codes (ECONNRESET, …) are in the same property.
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && code !== 'EPIPE'
    ? code
    : undefined;
}
