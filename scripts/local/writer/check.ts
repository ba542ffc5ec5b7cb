/**
 * Compares a ledger with a database: every acknowledged commit is there with its content, and nothing that was not
 * committed. Knows nothing of the migration; works on the source as well as on the target.
 */
import { Database } from './database.ts';
import type { Connection } from './database.ts';
import { readLedger } from './ledger.ts';
import type { LedgerChange, LedgerLine } from './ledger.ts';
import { CONTENT_HASH, KEY_TEXT, TABLES } from './tables.ts';
import type { Table } from './tables.ts';

export interface Problem {
  readonly table: string;
  readonly key: string;
  readonly what: string;
}

export interface Comparison {
  readonly transactions: number;
  readonly unknown: number;
  readonly rowsChecked: number;
  readonly problems: number;
  /** The first few, for the operator. */
  readonly examples: readonly Problem[];
}

/** What may be visible for one key: the newest committed change, or one of those whose outcome is unknown. */
interface Expectation {
  committed: LedgerChange | undefined;
  unknown: LedgerChange[];
}

const EXAMPLES = 10;
const KEYS_PER_QUERY = 10_000;

/** @throws Error when the ledger cannot be read, MigrationError for an unknown service. */
export async function checkLedger(service: string, path: string): Promise<Comparison> {
  const database = new Database(service);
  const ledger = await load(path);
  await using client = await database.connect();
  // One snapshot for all tables: the check may run while the stream still applies.
  await client.query('begin isolation level repeatable read read only');
  const problems: Problem[] = [];
  let rowsChecked = 0;
  for (const table of TABLES) {
    const expected = ledger.tables.get(table) ?? new Map<string, Expectation>();
    rowsChecked += await checkTable(client, table, expected, problems);
  }
  return {
    transactions: ledger.committed,
    unknown: ledger.unknown,
    rowsChecked,
    problems: problems.length,
    examples: problems.slice(0, EXAMPLES),
  };
}

async function checkTable(
  client: Connection,
  table: Table,
  expected: ReadonlyMap<string, Expectation>,
  problems: Problem[],
): Promise<number> {
  const seen = new Set<string>();
  const written = await client.query<{ key: string; revision: string; hash: string }>(
    `select ${KEY_TEXT[table]} as key, t.revision::text as revision, ${CONTENT_HASH} as hash
     from ${table} t where t.revision > 0`,
  );
  for (const row of written.rows) {
    seen.add(row.key);
    const what = compare(expected.get(row.key), row);
    if (what !== undefined) problems.push({ table, key: row.key, what });
  }
  const absent = [...expected].filter(([key]) => !seen.has(key));
  for (const [key, { committed, unknown }] of absent) {
    if (committed === undefined || committed.operation === 'delete') continue;
    if (newer(unknown, committed).some((change) => change.operation === 'delete')) continue;
    problems.push({ table, key, what: `committed change ${committed.revision} is missing` });
  }
  const deleted = absent
    .filter(([, { committed }]) => committed?.operation === 'delete')
    .map(([key]) => key);
  for (let first = 0; first < deleted.length; first += KEYS_PER_QUERY) {
    const back = await client.query<{ key: string }>(
      `select ${KEY_TEXT[table]} as key from ${table} t where ${KEY_TEXT[table]} = any ($1)`,
      [deleted.slice(first, first + KEYS_PER_QUERY)],
    );
    for (const { key } of back.rows)
      problems.push({ table, key, what: 'was deleted, but is there' });
  }
  return written.rows.length + deleted.length;
}

function compare(
  expectation: Expectation | undefined,
  row: { revision: string; hash: string },
): string | undefined {
  if (expectation === undefined) return `change ${row.revision} is not in the ledger`;
  const { committed, unknown } = expectation;
  const fits = (change: LedgerChange) =>
    change.operation !== 'delete' && change.revision === row.revision && change.hash === row.hash;
  if (committed !== undefined && fits(committed)) return undefined;
  if (newer(unknown, committed).some(fits)) return undefined;
  if (committed === undefined) return `change ${row.revision} was never committed`;
  if (committed.revision === row.revision) return `change ${row.revision} has other content`;
  return committed.operation === 'delete'
    ? `was deleted by change ${committed.revision}, but change ${row.revision} is there`
    : `change ${committed.revision} was committed last, but change ${row.revision} is there`;
}

function newer(changes: readonly LedgerChange[], than: LedgerChange | undefined): LedgerChange[] {
  const least = BigInt(than?.revision ?? '-1');
  return changes.filter((change) => BigInt(change.revision) > least);
}

interface Loaded {
  readonly tables: Map<string, Map<string, Expectation>>;
  committed: number;
  unknown: number;
}

async function load(path: string): Promise<Loaded> {
  const loaded: Loaded = { tables: new Map(), committed: 0, unknown: 0 };
  const open = new Map<string, readonly LedgerChange[]>();
  for await (const line of readLedger(path)) {
    if (line.outcome === 'sent') {
      open.set(line.serial, line.changes ?? []);
      continue;
    }
    take(loaded, line.outcome, open.get(line.serial) ?? []);
    open.delete(line.serial);
  }
  // Sent, and then the writer itself ended: either may be true.
  for (const changes of open.values()) take(loaded, 'unknown', changes);
  return loaded;
}

function take(
  loaded: Loaded,
  outcome: Exclude<LedgerLine['outcome'], 'sent'>,
  changes: readonly LedgerChange[],
): void {
  if (outcome === 'rolledback') return;
  loaded[outcome] += 1;
  for (const change of changes) {
    const keys = loaded.tables.get(change.table) ?? new Map<string, Expectation>();
    loaded.tables.set(change.table, keys);
    const expectation = keys.get(change.key) ?? { committed: undefined, unknown: [] };
    keys.set(change.key, expectation);
    if (outcome === 'unknown') expectation.unknown.push(change);
    // By revision, not by line: the answers of two connections may arrive in another order than their commits.
    else if (newer([change], expectation.committed).length > 0) expectation.committed = change;
  }
}

/** Prints the result for a person. */
export function printResult(comparison: Comparison, print: (line: string) => void): void {
  for (const { table, key, what } of comparison.examples) print(`${table} ${key}: ${what}`);
  const more = comparison.problems - comparison.examples.length;
  if (more > 0) print(`… and ${more} more`);
  const unknown = comparison.unknown === 0 ? '' : `, ${comparison.unknown} without an answer`;
  print(
    comparison.problems === 0
      ? `the ledger matches: ${comparison.transactions} acknowledged transactions${unknown}, ${comparison.rowsChecked} rows match`
      : `the ledger does not hold: ${comparison.problems} rows do not match`,
  );
}
