/** The application from seeding to its last line of totals. */
import { Database } from './database.ts';
import { runConnection } from './connection.ts';
import type { Totals } from './connection.ts';
import { Ledger } from './ledger.ts';
import { Pace } from './pace.ts';
import { Random } from './random.ts';
import { REFUSED, Refusals } from './refusal.ts';
import { isSeeded, seed } from './seed.ts';

export interface WriterSettings {
  readonly service: string;
  /** Where to write when `service` refuses. */
  readonly or: string | undefined;
  readonly rows: number;
  readonly rate: number;
  readonly connections: number;
  readonly seconds: number | undefined;
  readonly ledger: string | undefined;
  readonly seed: number;
}

/** Creates the tables and their first rows if they are missing. */
export async function prepare(
  service: string,
  rows: number,
  print: (line: string) => void,
): Promise<void> {
  const database = new Database(service);
  if (await isSeeded(database)) {
    print(`tables of "${service}" already have rows: not seeded again`);
    return;
  }
  print(`seeding "${service}" with ${rows.toLocaleString('en')} persons …`);
  const began = performance.now();
  let shown = began;
  await seed(database, rows, (done) => {
    if (performance.now() - shown < 1000) return;
    shown = performance.now();
    print(`  ${done.toLocaleString('en')} of ${rows.toLocaleString('en')}`);
  });
  print(`seeded in ${((performance.now() - began) / 1000).toFixed(1)} s`);
}

/** Writes until `stop` is aborted or the time is over; open transactions are finished. */
export async function write(
  settings: WriterSettings,
  stop: AbortSignal,
  print: (line: string) => void,
): Promise<Totals> {
  const database = new Database(settings.service);
  const others = settings.or === undefined ? [] : [new Database(settings.or)];
  const refusals = new Refusals(print);
  using ledger = settings.ledger === undefined ? undefined : new Ledger(settings.ledger);
  const known = await bounds(database);
  const totals: Totals = {
    changes: 0,
    committed: 0,
    rolledBack: 0,
    unknown: 0,
    refused: 0,
    conflicts: 0,
    reconnects: 0,
  };
  const over = new AbortController();
  const ends = AbortSignal.any([stop, over.signal]);
  // Not AbortSignal.timeout(): inside any() it is lost to the garbage collector on Node 20.
  const clock =
    settings.seconds === undefined
      ? undefined
      : setTimeout(() => over.abort(), settings.seconds * 1000);
  const pace = new Pace(settings.rate);
  const ticker = reportEverySecond(totals, print);
  try {
    await Promise.all(
      Array.from({ length: settings.connections }, (_, connection) =>
        runConnection({
          databases: [database, ...others],
          refusals,
          ledger,
          pace,
          totals,
          stop: ends,
          random: new Random(settings.seed + connection),
          known: {
            ...known,
            connection: connection + 1,
            ownPersons: [],
            ownNotes: [],
            ownEvents: [],
          },
        }).catch((error: unknown) => {
          // One connection that fails ends the others, or the program would seem to work at three quarters.
          over.abort();
          throw error;
        }),
      ),
    );
  } finally {
    clearInterval(ticker);
    clearTimeout(clock);
    totals.refused = refusals.total;
  }
  return totals;
}

async function bounds(database: Database): Promise<{ persons: number; accounts: number }> {
  await using client = await database.connect();
  const result = await client.query<{ persons: string; accounts: string }>(/* sql */ `
    select coalesce((select max(id) from person), 1)::text as persons,
           coalesce((select max(id) from account), 1)::text as accounts`);
  const row = result.rows[0];
  return { persons: Number(row?.persons ?? 1), accounts: Number(row?.accounts ?? 1) };
}

function reportEverySecond(totals: Totals, print: (line: string) => void): NodeJS.Timeout {
  const began = performance.now();
  let before = { ...totals };
  return setInterval(() => {
    const seconds = Math.round((performance.now() - began) / 1000);
    const outage = totals.reconnects > before.reconnects ? '  database unreachable, retrying' : '';
    print(
      `${seconds} s: ${totals.changes - before.changes} changes/s in ` +
        `${totals.committed - before.committed} transactions, ${totals.rolledBack} rolled back so far${outage}`,
    );
    before = { ...totals };
  }, 1000);
}

/** The last line: the totals as the application knows them. */
export function describeTotals(totals: Totals): string {
  return (
    `wrote ${totals.changes} changes in ${totals.committed} transactions; ` +
    `${totals.rolledBack} rolled back (${totals.conflicts} by conflicts, ${totals.refused} refused with ${REFUSED}), ` +
    `${totals.unknown} without an answer`
  );
}
