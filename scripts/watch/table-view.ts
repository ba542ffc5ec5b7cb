/** The tables of a migration as text or JSON: name, state, rows, bytes, lag or reason. Pure. */
import { TABLE_STATES } from '../../contract/table-state.ts';
import type { ListedTable } from '../../postgres/store/table-report.ts';
import { bytes, count, counted, duration } from '../../workflows/wording.ts';
import type { StreamView } from './model.ts';

/** One table, for scripts. */
export interface TableView extends Omit<ListedTable, 'bytesToSnapshot'> {
  /** Ready: of the stream. Catching up: to the LSN of the table's snapshot. Null: not known, or neither. */
  readonly lagBytes: number | null;
}

/** @param stream undefined: nothing is known of it. */
export function tableViews(
  tables: readonly ListedTable[],
  stream: StreamView | undefined,
): TableView[] {
  return tables.map(({ bytesToSnapshot, ...table }) => ({
    ...table,
    lagBytes: table.state === 'ready' ? (stream?.lagBytes ?? null) : bytesToSnapshot,
  }));
}

const HEAD = ['TABLE', 'STATE', 'ROWS', 'BYTES', 'LAG OR REASON'];

/** Columns for a terminal or a pipe. A number with `~` is the source's estimate. */
export function renderTables(
  workflowId: string,
  tables: readonly TableView[],
  stream: StreamView | undefined,
): string[] {
  const states = TABLE_STATES.flatMap((state) => {
    const found = tables.filter((one) => one.state === state).length;
    return found === 0 ? [] : [`${count(found)} ${state}`];
  });
  const rows = [HEAD, ...tables.map((table) => cells(table, stream))];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return [
    `${workflowId}: ${counted(tables.length, 'table')}: ${states.join(', ')}`,
    ...rows.map((row) =>
      row
        .map((cell, column) => pad(cell, column, widths))
        .join('  ')
        .trimEnd(),
    ),
  ];
}

function cells(table: TableView, stream: StreamView | undefined): string[] {
  const about = table.estimated ? '~' : '';
  return [
    table.table,
    table.state,
    `${about}${count(table.rows)}`,
    `${about}${bytes(table.bytes)}`,
    remark(table, stream),
  ];
}

function remark({ state, reason, lagBytes }: TableView, stream: StreamView | undefined): string {
  if (reason !== null) return reason;
  if (state === 'absent') return 'was not in the latest snapshot';
  if (state === 'dropped') return 'is gone on both sides';
  if (lagBytes === null) return '';
  if (state === 'catching-up') return `${bytes(lagBytes)} to the LSN of its snapshot`;
  return `${bytes(lagBytes)} / ${duration(stream?.lagSeconds ?? 0)}`;
}

/** Numbers to the right. */
function pad(cell: string, column: number, widths: readonly number[]): string {
  const width = widths[column] ?? 0;
  return column === 2 || column === 3 ? cell.padStart(width) : cell.padEnd(width);
}
