/**
 * One connection of the application. It works until it is stopped, survives restarts of the database, and records the outcome
 * of every transaction in the ledger: committed only when COMMIT was answered, unknown when the answer was lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, Database } from './database.ts';
import type { Ledger } from './ledger.ts';
import type { Pace } from './pace.ts';
import type { Random } from './random.ts';
import { Transaction } from './transaction.ts';
import { chooseWork } from './work.ts';
import type { Known } from './work.ts';

export interface Totals {
  changes: number;
  committed: number;
  rolledBack: number;
  unknown: number;
  conflicts: number;
  reconnects: number;
}

export interface ConnectionSettings {
  readonly database: Database;
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
  while (!settings.stop.aborted) {
    try {
      await using client = await settings.database.connect();
      while (!settings.stop.aborted) await oneTransaction(client, settings);
    } catch (error) {
      if (!isConnectionLost(error)) throw error;
      settings.totals.reconnects += 1;
      await sleep(RECONNECT_MS);
    }
  }
}

async function oneTransaction(client: Connection, settings: ConnectionSettings): Promise<void> {
  const { pace, ledger, totals, random } = settings;
  await pace.turn(settings.stop);
  if (settings.stop.aborted) return;
  const transaction = new Transaction(client);
  try {
    await client.query('begin');
    await work(transaction, settings);
    if (random.chance(ROLL_BACK)) {
      await client.query('rollback');
      totals.rolledBack += 1;
      ledger?.rolledBack([...transaction.changes, ...transaction.undone]);
      return;
    }
  } catch (error) {
    // Before COMMIT was sent nothing can have become visible, whatever failed.
    ledger?.rolledBack([...transaction.changes, ...transaction.undone]);
    totals.rolledBack += 1;
    if (isConnectionLost(error)) throw error;
    if (!isConflict(error)) throw error;
    totals.conflicts += 1;
    await client.query('rollback');
    return;
  }
  await commit(client, transaction, settings);
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
