/** Rows of the source as they are now, for values that the stream does not show (special.ts). */
import pg from 'pg';
import { setTimeout as pause } from 'node:timers/promises';
import { MigrationError, type FailureDetails } from '../../contract/failure.ts';
import { quoted } from '../catalog/table-name.ts';
import { isVisible, parseSnapshot } from '../snapshot/visibility.ts';
import type { PlannedRelation } from './change.ts';
import { exposedColumns, NON_FINITE_NUMBERS } from './exposed.ts';
import { printed } from './statement.ts';
import type { SourceKeyColumn } from './table.ts';

/** A commit waiting for its synchronous standby can take a while; then the batch is tried again. */
const VISIBLE_DEADLINE_MS = 20_000;
const VISIBLE_POLL_MS = 20;

/** Rows by key text, exposed columns by name. */
export type Rows = ReadonlyMap<string, ReadonlyMap<string, string | null>>;

/** The exposed columns of these rows; a row that is gone is missing. */
export async function readBack(
  client: pg.Client,
  relation: PlannedRelation,
  sourceKey: readonly SourceKeyColumn[],
  wanted: readonly (readonly string[])[],
): Promise<Rows> {
  const keys = [...new Map(wanted.map((key) => [JSON.stringify(key), key])).values()];
  const exposed = [...exposedColumns(relation).values()];
  const columns = exposed.map((column) => {
    const value = `t.${pg.escapeIdentifier(column.name)}`;
    return `case when ${value} is distinct from null then ${printed(value)} end`;
  });
  const { rows } = await client.query<(string | null)[]>({
    text: /* sql */ `select w.n::text, ${columns.join(', ')} from ${byKeys(relation, sourceKey)}`,
    values: transposed(relation, keys),
    rowMode: 'array',
  });
  const found = new Map<string, ReadonlyMap<string, string | null>>();
  for (const [ordinal, ...values] of rows) {
    const key = keys[Number(ordinal) - 1];
    const row = new Map(exposed.map(({ name }, index) => [name, values[index] ?? null]));
    found.set(JSON.stringify(key), row);
  }
  return found;
}

/** @returns by the place of the key: the special values of a row that has any, by column. */
export async function readNonFinite(
  client: pg.Client,
  relation: PlannedRelation,
  sourceKey: readonly SourceKeyColumn[],
  keys: readonly (readonly string[])[],
): Promise<ReadonlyMap<number, ReadonlyMap<string, string>>> {
  const nonFinite = [...NON_FINITE_NUMBERS].map((value) => pg.escapeLiteral(value)).join(', ');
  const names = [...exposedColumns(relation).keys()];
  const printedColumns = names.map((name) => printed(`t.${pg.escapeIdentifier(name)}`));
  const { rows } = await client.query<(string | null)[]>({
    text: /* sql */ `
      select w.n::text, ${printedColumns.join(', ')} from ${byKeys(relation, sourceKey)}
       where ${printedColumns.map((value) => `${value} in (${nonFinite})`).join(' or ')}`,
    values: transposed(relation, keys),
    rowMode: 'array',
  });
  return new Map(
    rows.map(([ordinal, ...values]) => {
      const found = new Map<string, string>();
      for (const [at, name] of names.entries()) {
        const value = values[at] ?? null;
        if (value !== null && NON_FINITE_NUMBERS.has(value)) found.set(name, value);
      }
      return [Number(ordinal) - 1, found];
    }),
  );
}

/** Rows of the source by their keys, which are one parameter for each column. */
function byKeys(relation: PlannedRelation, sourceKey: readonly SourceKeyColumn[]): string {
  const names = relation.key ?? [];
  const wanted = names.map((_, index) => `k${index}`).join(', ');
  const arrays = names.map((_, index) => `$${index + 1}::text[]`).join(', ');
  const matches = sourceKey.map(
    ({ operand, equals, baseType }, index) => `${operand} ${equals} w.k${index}::${baseType}`,
  );
  return /* sql */ `unnest(${arrays}) with ordinality as w (${wanted}, n)
        join only ${quoted(relation)} t on ${matches.join(' and ')}`;
}

function transposed(
  { key }: PlannedRelation,
  keys: readonly (readonly string[])[],
): (string | undefined)[][] {
  return (key ?? []).map((_, index) => keys.map((one) => one[index]));
}

/**
 * Waits until the source shows all of these transactions.
 * @param place of the first change that needs it, for the failure.
 */
export async function waitVisible(
  client: pg.Client,
  xids: ReadonlySet<number>,
  place: FailureDetails,
): Promise<void> {
  let waiting = [...xids];
  const deadline = performance.now() + VISIBLE_DEADLINE_MS;
  while (waiting.length > 0) {
    const { rows } = await client.query<{ snapshot: string }>(
      /* sql */ `select pg_current_snapshot()::text as snapshot`,
    );
    const seen = parseSnapshot(rows[0]?.snapshot ?? '');
    waiting = waiting.filter((xid) => !isVisible(xid, seen));
    if (waiting.length === 0) return;
    if (performance.now() > deadline) {
      throw new MigrationError(
        'Contention',
        `${waiting.length} committed transactions of the source are not visible there yet (a synchronous standby that does not answer?)`,
        place,
      );
    }
    await pause(VISIBLE_POLL_MS);
  }
}
