/**
 * Makes some rows of a table of the target what the source has. Values pass from one server to the other as text that the type's
 * own functions print and read; nothing here looks at them.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { readSourceKey, readTable } from '../apply/table-catalog.ts';
import type { TargetTable } from '../apply/target-table.ts';
import { readRelationsNamed } from '../catalog/read-relations.ts';
import { nameOf, quoted } from '../catalog/table-name.ts';
import type { TableName } from '../catalog/selection.ts';
import { PINNED_FOR_ROWS, setFor } from '../connection/apply-settings.ts';
import type { Defaults } from '../connection/defaults.ts';
import type { RowDifference } from '../store/verification-difference.ts';
import { rowHash } from './row-hash.ts';
import type { Sides } from './sides.ts';
import { keyValues, type SuspectTable } from './suspect-tables.ts';

export interface ReplacementParts {
  /** In a transaction under the state. */
  readonly source: pg.Client;
  /** In a transaction in which the stream stands at the state. */
  readonly target: pg.Client;
  readonly sides: Pick<Sides, 'hashing' | 'planning'>;
  readonly defaults: Defaults;
}

/** A row of the source: texts of the written columns; null: null. */
type Values = readonly (string | null)[];

/**
 * @returns keys whose rows were written; in a table without a key, rows inserted or deleted.
 * @throws MigrationError `CopyFailed`; errors of the driver.
 */
export async function replaceRows(
  parts: ReplacementParts,
  table: SuspectTable,
  differences: readonly RowDifference[],
): Promise<number> {
  const there = await writtenTable(parts, table);
  const changes =
    table.shape.key === null
      ? await byNumber(parts, table, there, differences)
      : await byKey(parts, table, there, table.shape.key, differences);
  // Inserted only after all deletes: two keys may be one for the target's unique index (1.0 and 1.00).
  await setFor(
    'transaction',
    parts.target,
    await parts.defaults.forTable(parts.target, quoted(table)),
  );
  for (const values of changes.inserts) await insert(parts.target, there, values);
  await setFor('transaction', parts.target, PINNED_FOR_ROWS);
  return table.shape.key === null ? changes.inserts.length + changes.deleted : differences.length;
}

interface Changes {
  readonly inserts: readonly Values[];
  readonly deleted: number;
}

/** The target's table and the columns that are written: those of the source, without generated ones. */
interface Written {
  readonly table: TargetTable;
  readonly columns: readonly { readonly name: string; readonly baseType: string }[];
}

async function writtenTable(
  { source, target }: ReplacementParts,
  table: SuspectTable,
): Promise<Written> {
  const [relation] = await readRelationsNamed(source, table.shape.source.slice(0, 1));
  const columns = relation?.columns.filter(({ generated }) => !generated) ?? [];
  const { schema, name } = table;
  const there = await readTable(target, { schema, name, columns, key: null, full: true }, 0);
  const types = new Map(there.columns.map((one) => [one.name, one]));
  return {
    table: there,
    columns: columns.map((column) => {
      const type = types.get(column.name);
      if (type) return { name: column.name, baseType: type.baseType };
      throw new MigrationError(
        'SchemaDrift',
        `the target table ${nameOf(table)} has no column ${column.name}`,
        { table: nameOf(table), column: column.name },
      );
    }),
  };
}

/** Deletes the target's rows with these keys; the source's rows with these keys are to be inserted. */
async function byKey(
  { source, target, sides: { planning } }: ReplacementParts,
  table: SuspectTable,
  there: Written,
  key: readonly string[],
  differences: readonly RowDifference[],
): Promise<Changes> {
  const texts = differences.map((one) => keyValues(key, one));
  const inserts: Values[] = [];
  for (const part of table.shape.source) {
    const matches = await keyCondition(source, part, key);
    const select = await planning.source.settled<{ values: Values }>(
      ...([source, quoted(part)] as const),
      (condition, parameter) =>
        /* sql */ `select ${valuesOf(there)} as values from only ${quoted(part)} t where ${matches(parameter)} and ${condition}`,
    );
    for (const values of texts) {
      const { rows } = await select([...values, ...values]);
      inserts.push(...rows.map((row) => row.values));
    }
  }
  let deleted = 0;
  const matches = await keyCondition(target, table, key);
  const remove = await planning.target.settled(
    ...([target, quoted(table)] as const),
    (condition, parameter) =>
      /* sql */ `delete from ${there.table.only} t where ${matches(parameter)} and ${condition}`,
  );
  for (const values of texts) {
    const { rowCount } = await remove([...values, ...values]);
    deleted += rowCount ?? 0;
  }
  return { inserts, deleted };
}

/**
 * By the type's own equality, which an index knows, and by the exact text, which was compared: 1.0 is not 1.00. Parameters: the
 * texts of the key, twice.
 */
export async function keyCondition(
  client: pg.Client,
  table: TableName,
  key: readonly string[],
): Promise<(parameter: (at: number) => string) => string> {
  const columns = await readSourceKey(client, table, key);
  return (parameter) => {
    const equal = columns.map(
      ({ operand, equals, baseType }, at) =>
        `${operand} ${equals} ${parameter(at + 1)}::${baseType}`,
    );
    const exact = key.map(
      (name, at) =>
        `pg_catalog.format('%s', t.${pg.escapeIdentifier(name)}) = ${parameter(key.length + at + 1)}::text collate pg_catalog."C"`,
    );
    return [...equal, ...exact].join(' and ');
  };
}

/** Rows with the same hash are the same; the target gets or loses as many as it differs by. Scans the table on both sides. */
async function byNumber(
  { source, target, sides }: ReplacementParts,
  table: SuspectTable,
  there: Written,
  differences: readonly RowDifference[],
): Promise<Changes> {
  const { planning } = sides;
  const hashes = differences.map(({ hash }) => hash);
  const hash = rowHash(table.shape.columns, sides.hashing);
  const here = new Map<string, Values[]>();
  for (const part of table.shape.source) {
    const select = await planning.source.settled<{ hash: string; values: Values }>(
      ...([source, quoted(part)] as const),
      (condition, parameter) => /* sql */ `
      select (${hash})::text as hash, ${valuesOf(there)} as values
        from only ${quoted(part)} t where ${hash} = any(${parameter(1)}::bigint[]) and ${condition}`,
    );
    const { rows } = await select([hashes]);
    for (const row of rows) here.set(row.hash, [...(here.get(row.hash) ?? []), row.values]);
  }
  const find = await planning.target.settled<{ hash: string; part: string; place: string }>(
    ...([target, quoted(table)] as const),
    (condition, parameter) => /* sql */ `
    select (${hash})::text as hash, t.tableoid::text as part, t.ctid::text as place
      from ${there.table.only} t where ${hash} = any(${parameter(1)}::bigint[]) and ${condition}`,
  );
  const { rows: present } = await find([hashes]);
  const inserts: Values[] = [];
  const extra: { part: string; place: string }[] = [];
  for (const one of hashes) {
    const [left, right] = [here.get(one ?? '') ?? [], present.filter((row) => row.hash === one)];
    inserts.push(...left.slice(right.length));
    extra.push(...right.slice(left.length));
  }
  const remove = await planning.target.settled(
    ...([target, quoted(table)] as const),
    (condition, parameter) => /* sql */ `
    delete from ${there.table.only} t
     using unnest(${parameter(1)}::oid[], ${parameter(2)}::tid[]) as x (part, place)
     where t.tableoid = x.part and t.ctid = x.place and ${condition}`,
  );
  const { rowCount } = await remove([
    extra.map(({ part }) => part),
    extra.map(({ place }) => place),
  ]);
  return { inserts, deleted: rowCount ?? 0 };
}

/** `is distinct from null`: `is null` also holds for a composite value whose fields are all null. */
function valuesOf({ columns }: Written): string {
  const texts = columns.map(({ name }) => {
    const value = `t.${pg.escapeIdentifier(name)}`;
    return `case when ${value} is distinct from null then pg_catalog.format('%s', ${value}) end`;
  });
  return `array[${texts.join(', ')}]::text[]`;
}

async function insert(
  target: pg.Client,
  { table, columns }: Written,
  values: Values,
): Promise<void> {
  if (columns.length === 0) {
    await target.query(/* sql */ `insert into ${table.qualified} default values`);
    return;
  }
  const names = columns.map(({ name }) => pg.escapeIdentifier(name)).join(', ');
  const given = columns.map(({ baseType }, at) => `$${at + 1}::${baseType}`).join(', ');
  await target.query(
    /* sql */ `insert into ${table.qualified} (${names}) overriding system value values (${given})`,
    [...values],
  );
}
