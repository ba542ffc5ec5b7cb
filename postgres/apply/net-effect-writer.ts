/**
 * Applies the folded effect of a batch on one table as sets: deletes, then updates, then inserts.
 *
 * The order: a key freed by a delete or a key change can be taken again by an update or an insert, never the reverse. A key taken
 * before it was freed would have been two rows with one key on the source. So a deleted row is applied before the row that takes
 * its key, whether moved or new, and a row that moves away before the new one. No order of sets covers chains of key changes (1→2
 * while 2→3) and swapped unique values: the server refuses them and the caller replays.
 *
 * The row count of every set is compared with the number of rows sent. With a unique index on the key a statement touches at most
 * one row per staged row and each row at most once, so an equal count means that every staged row hit its own row.
 */
import { grouped } from '../../contract/grouped.ts';
import type pg from 'pg';
import { copyLine } from './copy-text.ts';
import type { Image, KeyValues, NetEffect, NetUpdate } from './fold.ts';
import { runStatements, WrongRowCount } from './replay.ts';
import { deleteByKey, insertOf, updateByKey, type Statement } from './change-statement.ts';
import { copyRows, type Staging } from './staging.ts';
import type { TargetTable } from './target-table.ts';
import { assigned, fixed, writable } from './written-column.ts';

/**
 * Up to this many rows are sent as single prepared statements. A staging table costs a COPY, a join and sometimes its creation:
 * about as much as this many pipelined statements.
 */
export const FEW_ROWS = 50;

/** Applies a table's net effect. @throws the server's error or WrongRowCount; the caller rolls back and replays. */
export async function writeNetEffect(
  client: pg.Client,
  staging: Staging,
  table: TargetTable,
  net: NetEffect,
): Promise<void> {
  await deleteRows(client, staging, table, net.deletes);
  for (const group of byColumns(table, net.updates)) {
    await updateRows(client, staging, table, group);
  }
  await insertRows(client, table, net.inserts);
}

async function deleteRows(
  client: pg.Client,
  staging: Staging,
  table: TargetTable,
  keys: readonly KeyValues[],
): Promise<void> {
  if (keys.length <= FEW_ROWS) {
    await runStatements(client, present(keys.map((key) => deleteByKey(table, key))));
    return;
  }
  const stage = await staging.fill(table, keyNames(table), lines(keys, copyLine));
  const { rowCount } = await client.query(
    /* sql */ `delete from ${table.only} t using ${stage} s where ${joined(table)}`,
  );
  expectRows(keys.length, rowCount);
}

interface UpdateGroup {
  readonly positions: readonly number[];
  /** Identity columns that must already have the update's value; where one differs, replay renumbers the row. */
  readonly fixed: readonly number[];
  readonly updates: readonly NetUpdate[];
}

/** Groups updates that write the same columns, for one statement each. */
function byColumns(table: TargetTable, updates: readonly NetUpdate[]): UpdateGroup[] {
  const groups = new Map<string, { positions: number[]; fixed: number[]; updates: NetUpdate[] }>();
  for (const update of updates) {
    const positions = assigned(table, update.columns, update.keyChanged);
    const same = fixed(table, update.columns, update.keyChanged);
    const signature = `${positions.join()}f${same.join()}`;
    const group = groups.get(signature);
    if (group) group.updates.push(update);
    else groups.set(signature, { positions, fixed: same, updates: [update] });
  }
  return [...groups.values()];
}

async function updateRows(
  client: pg.Client,
  staging: Staging,
  table: TargetTable,
  { positions, fixed: same, updates }: UpdateGroup,
): Promise<void> {
  if (updates.length <= FEW_ROWS || positions.length === 0) {
    await runStatements(client, present(updates.map((update) => updateByKey(table, update))));
    return;
  }
  const staged = [...positions, ...same];
  const stage = await staging.fill(
    table,
    [...keyNames(table), ...staged.map((position) => `c${position}`)],
    lines(updates, ({ key, columns }) =>
      copyLine([...key, ...staged.map((position) => columns[position] ?? null)]),
    ),
  );
  const sets = positions.map((position) => `${table.columns[position]?.quoted} = s.c${position}`);
  const where = [
    joined(table),
    ...same.map((position) => `t.${table.columns[position]?.quoted} = s.c${position}`),
  ];
  const { rowCount } = await client.query(
    /* sql */ `update ${table.only} t set ${sets.join(', ')} from ${stage} s where ${where.join(' and ')}`,
  );
  expectRows(updates.length, rowCount);
}

/**
 * Inserts rows in order, with COPY directly into the table (which also writes identity columns), grouped by the columns that they
 * carry (all the same, unless a column was added in between).
 */
export async function insertRows(
  client: pg.Client,
  table: TargetTable,
  images: readonly Image[],
): Promise<void> {
  if (images.length <= FEW_ROWS) {
    await runStatements(
      client,
      images.map((image) => insertOf(table, image)),
    );
    return;
  }
  for (const rows of grouped(images, (image) => writable(table, image).join()).values()) {
    const positions = writable(table, rows[0] ?? []);
    if (positions.length === 0) {
      await runStatements(
        client,
        rows.map((image) => insertOf(table, image)),
      );
      continue;
    }
    const names = positions.map((position) => table.columns[position]?.quoted).join(', ');
    const count = await copyRows(
      client,
      /* sql */ `copy ${table.qualified} (${names}) from stdin`,
      lines(rows, (image) => copyLine(positions.map((position) => image[position] ?? null))),
    );
    expectRows(rows.length, count);
  }
}

/** Lines are created as they are sent: a batch of large values is not held twice. */
function* lines<T>(items: readonly T[], line: (item: T) => string): Generator<string> {
  for (const item of items) yield line(item);
}

function keyNames(table: TargetTable): string[] {
  return (table.key ?? []).map((_, index) => `k${index}`);
}

/** Joins target rows (t) and staged rows (s) by key, with the operator of the target's index. */
function joined(table: TargetTable): string {
  return (table.key ?? [])
    .map(
      ({ position, equals }, index) => `${table.columns[position]?.operand} ${equals} s.k${index}`,
    )
    .join(' and ');
}

function present(statements: readonly (Statement | undefined)[]): Statement[] {
  return statements.filter((statement) => statement !== undefined);
}

function expectRows(expected: number, rows: number | null): void {
  if (rows !== expected) throw new WrongRowCount(expected, rows ?? 0);
}
