/** Reads current rows of the source, for values that the stream does not show (non-finite.ts). */
import pg from 'pg';
import { MigrationError, type FailureDetails } from '../../contract/failure.ts';
import { quoted } from '../catalog/table-name.ts';
import { untilVisible } from '../catalog/transaction-wait.ts';
import type { PlannedRelation } from './change.ts';
import { nonFiniteColumns, NON_FINITE_NUMBERS } from './non-finite-column.ts';
import { printed } from './row-match.ts';
import type { SourceKeyColumn } from './table-catalog.ts';

/** A commit that waits for its synchronous standby can take a while; after this time the batch is retried. */
const VISIBLE_DEADLINE_MS = 20_000;

/** Rows by key text, exposed columns by name. */
export type Rows = ReadonlyMap<string, ReadonlyMap<string, string | null>>;

/** Reads the exposed columns of these rows; a deleted row is missing from the result. */
export async function readBack(
  client: pg.Client,
  relation: PlannedRelation,
  sourceKey: readonly SourceKeyColumn[],
  wanted: readonly (readonly string[])[],
): Promise<Rows> {
  const keys = [...new Map(wanted.map((key) => [JSON.stringify(key), key])).values()];
  const exposed = [...nonFiniteColumns(relation).values()];
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

/** @returns by index of the key: the non-finite numbers of a row that has any, by column. */
export async function readNonFinite(
  client: pg.Client,
  relation: PlannedRelation,
  sourceKey: readonly SourceKeyColumn[],
  keys: readonly (readonly string[])[],
): Promise<ReadonlyMap<number, ReadonlyMap<string, string>>> {
  const nonFinite = [...NON_FINITE_NUMBERS].map((value) => pg.escapeLiteral(value)).join(', ');
  const names = [...nonFiniteColumns(relation).keys()];
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

/** Joins source rows by their keys, with one array parameter per key column. */
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
 * Waits until all of these transactions are visible on the source.
 * @param place table and LSN of the first change that needs it, for the failure.
 */
export async function waitVisible(
  client: pg.Client,
  xids: ReadonlySet<number>,
  place: FailureDetails,
): Promise<void> {
  const hidden = await untilVisible(client, xids, VISIBLE_DEADLINE_MS);
  if (hidden === 0) return;
  throw new MigrationError(
    'Contention',
    `${hidden} committed transactions are not visible on the source after ${VISIBLE_DEADLINE_MS / 1000} s; check whether its synchronous standby answers`,
    place,
  );
}
