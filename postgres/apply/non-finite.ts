/**
 * NaN, Infinity and -Infinity with wal2json before 2.6: in float4, float8 and numeric columns they arrive as null, like a real
 * null (domains over these types, and arrays of them, arrive as text and are safe). Such a null is resolved by reading the row on
 * the source, by its key.
 *
 * The source shows the current row, which may be later than the change. The result is still right: if the row was not changed
 * since, it has the change's own value. If it was, that later change is in the stream too, contains the column, and overwrites
 * what was written here (docs/explanation/apply.md has the full argument).
 *
 * The row must not be read before its change is visible: with synchronous replication a transaction is decoded before other
 * sessions can see it. So the reader first waits until these transactions are visible.
 */
import { grouped } from '../../contract/grouped.ts';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { Planning } from '../session/planning.ts';
import { connectSource } from '../session/open.ts';
import { flushSeen } from '../replication/flushed-mark.ts';
import { nameOf, quoted } from '../catalog/table-name.ts';
import type {
  Cell,
  Change,
  Insert,
  PlannedColumn,
  PlannedRelation,
  RowChange,
  Update,
} from './change.ts';
import { nonFiniteColumns, NON_FINITE_NUMBERS } from './non-finite-column.ts';
import { readBack, readNonFinite, waitVisible, type Rows } from './non-finite-row.ts';
import type { FoldedTable } from './folded-flight.ts';
import { readSourceKey, type SourceKeyColumn } from './table-catalog.ts';

/** For a NOT NULL column of a row that no longer exists: a later change deletes or moves the row, and overwrites this. */
const PLACEHOLDER = 'NaN';

/** Keys per query: bounds the size of one statement and keeps the planner on the index. */
const KEYS_PER_QUERY = 1_000;

interface Ambiguous {
  readonly index: number;
  readonly change: Insert | Update;
  readonly key: readonly string[];
  readonly columns: readonly PlannedColumn[];
}

export class NonFiniteNumbers {
  readonly #migration: Migration;
  readonly #planning: Planning;
  #client: (pg.Client & AsyncDisposable) | undefined;
  readonly #keys = new WeakMap<PlannedRelation, readonly SourceKeyColumn[]>();

  constructor(migration: Migration) {
    this.#migration = migration;
    this.#planning = new Planning(migration.source, 'stream');
  }

  /** The changes with every ambiguous null resolved. Throws the source's errors; the session is then closed. */
  async settle(changes: readonly Change[]): Promise<readonly Change[]> {
    const found = ambiguousChanges(changes);
    if (found.size === 0) return changes;
    try {
      this.#client ??= await connectSource(this.#migration, 'stream');
      const items = [...found.values()].flat().map(({ change }) => change);
      const xids = new Set(items.map(({ xid }) => xid).filter((xid) => xid !== null));
      const [first] = items;
      const place = first ? { table: nameOf(first.relation), lsn: first.lsn } : {};
      await waitVisible(this.#client, xids, place);
      const settled = [...changes];
      for (const [relation, items] of found) {
        const key = await this.#keyOf(this.#client, relation);
        for (let from = 0; from < items.length; from += KEYS_PER_QUERY) {
          const part = items.slice(from, from + KEYS_PER_QUERY);
          const client = this.#client;
          const rows = await this.#planning.run(client, quoted(relation), () =>
            readBack(
              client,
              relation,
              key,
              part.map((item) => item.key),
            ),
          );
          // The value may be from a later commit, which the source can still lose.
          await flushSeen(client, this.#migration);
          for (const item of part) settled[item.index] = settledChange(item, rows);
        }
      }
      return settled;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /**
   * Writes the non-finite numbers into folded rows. Other nulls stay: they are right, or a later change overwrites them.
   * @param xids transactions that the rows are from, 32 bits.
   * @throws the source's errors; the session is then closed.
   */
  async settleFolded(tables: readonly FoldedTable[], xids: ReadonlySet<number>): Promise<void> {
    const doubtful = tables.filter(({ rows }) => rows.anyDoubtful);
    if (doubtful.length === 0) return;
    try {
      this.#client ??= await connectSource(this.#migration, 'stream');
      const client = this.#client;
      await waitVisible(client, xids, {});
      const found: (() => void)[] = [];
      for (const { relation, rows } of doubtful) {
        const sourceKey = await this.#keyOf(client, relation);
        const { key, names } = rows.layout;
        // The relation's key is in index order, the layout's key in column order.
        const order = (relation.key ?? []).map((name) =>
          key.findIndex((place) => names[place] === name),
        );
        const doubts = rows.doubts();
        for (let from = 0; from < doubts.length; from += KEYS_PER_QUERY) {
          const part = doubts.slice(from, from + KEYS_PER_QUERY);
          const keys = part.map((one) => order.map((at) => one.key[at] ?? ''));
          const nonFinite = await this.#planning.run(client, quoted(relation), () =>
            readNonFinite(client, relation, sourceKey, keys),
          );
          for (const [at, values] of nonFinite) {
            const row = part[at]?.row;
            if (row === undefined) continue;
            found.push(() =>
              rows.fill(
                row,
                names.map((name) => values.get(name) ?? null),
              ),
            );
          }
        }
      }
      // Whether a non-finite number is there may depend on a later commit, which the source can still lose.
      await flushSeen(client, this.#migration);
      for (const write of found) write();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #keyOf(client: pg.Client, relation: PlannedRelation): Promise<readonly SourceKeyColumn[]> {
    const known = this.#keys.get(relation);
    if (known) return known;
    const read = await readSourceKey(client, relation, relation.key ?? []);
    this.#keys.set(relation, read);
    return read;
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    // An error of a broken session must not hide the original one.
    await client?.end().catch(() => undefined);
  }
}

function ambiguousChanges(changes: readonly Change[]): Map<PlannedRelation, Ambiguous[]> {
  const found: Ambiguous[] = [];
  for (const [index, change] of changes.entries()) {
    if (change.kind === 'truncate') continue;
    const { relation } = change;
    const exposed = nonFiniteColumns(relation);
    if (exposed.size === 0) continue;
    if (!relation.key) {
      refuseAmbiguous(change, exposed);
      continue;
    }
    if (change.kind === 'delete') continue;
    const columns = change.columns
      .filter((cell) => cell.value === null)
      .map((cell) => exposed.get(cell.name))
      .filter((column) => column !== undefined);
    if (columns.length === 0) continue;
    const key = newKey(change, relation.key);
    if (key) found.push({ index, change, key, columns });
  }
  return grouped(found, ({ change }) => change.relation);
}

/** Without a key nothing can be read back, and a null in the old row could match a row with a real null. */
function refuseAmbiguous(change: RowChange, exposed: ReadonlyMap<string, PlannedColumn>): void {
  const cells = [
    ...(change.kind === 'delete' ? [] : change.columns),
    ...(change.kind === 'insert' ? [] : change.identity),
  ];
  const cell = cells.find(({ name, value }) => value === null && exposed.has(name));
  if (!cell) return;
  const table = nameOf(change.relation);
  throw new MigrationError(
    'ChangeFailed',
    `${change.kind} of ${table} at ${change.lsn}: column ${cell.name} arrived as null, which before wal2json 2.6 can also mean NaN or Infinity, and the table has no key to read the value from the source`,
    { table, lsn: change.lsn, column: cell.name },
  );
}

/** The row's key after the change; an omitted key column (unchanged TOAST) keeps its old value. */
function newKey(change: Insert | Update, names: readonly string[]): string[] | undefined {
  const values: string[] = [];
  for (const name of names) {
    const value =
      valueOf(change.columns, name) ??
      (change.kind === 'update' ? valueOf(change.identity, name) : undefined);
    if (value === undefined || value === null) return undefined;
    values.push(value);
  }
  return values;
}

function valueOf(cells: readonly Cell[], name: string): string | null | undefined {
  return cells.find((cell) => cell.name === name)?.value;
}

function settledChange({ change, key, columns }: Ambiguous, rows: Rows): Change {
  const row = rows.get(JSON.stringify(key));
  const values = new Map(
    columns.map(({ name, notNull }) => [name, settledValue(notNull, row, name)]),
  );
  return {
    ...change,
    columns: change.columns.map((cell) => {
      const value = values.get(cell.name);
      return value === undefined ? cell : { name: cell.name, value };
    }),
  };
}

/**
 * The value to write for an ambiguous null:
 *   row found, non-finite number   that number
 *   row found, nullable, other     null: it was null, or a later change sets the current value
 *   row found, NOT NULL, other     the current value: a null is impossible, so a later change overwrote the number
 *   row gone, nullable             null
 *   row gone, NOT NULL             a placeholder
 */
function settledValue(
  notNull: boolean,
  row: ReadonlyMap<string, string | null> | undefined,
  name: string,
): string | null {
  const value = row?.get(name) ?? null;
  if (value !== null && NON_FINITE_NUMBERS.has(value)) return value;
  if (!notNull) return null;
  return value ?? PLACEHOLDER;
}
