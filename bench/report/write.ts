/** Writes reports: a table on the terminal, and JSON, Markdown and a chart in files. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import path from 'node:path';
import { SERVER_SETTINGS } from '../rig/settings.ts';
import { chart } from './chart.ts';
import type { Cell, Report, Row } from './result.ts';

const GIB = 1024 ** 3;

/** What the numbers depend on besides the code. */
export interface Circumstances {
  readonly date: string;
  readonly machine: string;
  readonly postgres: string;
  readonly node: string;
  readonly rounds: number;
  readonly scale: number;
  /** Of both servers, besides their defaults. */
  readonly settings: string;
}

export function circumstances(postgres: string, rounds: number, scale: number): Circumstances {
  const cores = cpus().length;
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cores} cores, ${Math.round(totalmem() / GIB)} GB, everything on one machine`,
    postgres,
    node: process.versions.node,
    ...{ rounds, scale },
    settings: Object.entries(SERVER_SETTINGS)
      .map(([name, value]) => `${name} = ${value}`)
      .join(', '),
  };
}

/** The report as a Markdown table with its notes. */
export function markdown(report: Report, where: Circumstances): string {
  const { date, machine, postgres, node, rounds, scale, settings } = where;
  return [
    `## ${report.title}`,
    '',
    `${date}; ${machine}; ${postgres}; Node ${node}; median of ${rounds} round${rounds === 1 ? '' : 's'}${scale === 1 ? '' : `; scale ${scale}`}.`,
    '',
    ...table(report.rows),
    '',
    ...(report.more ?? []).flatMap(({ title, rows }) => [`### ${title}`, '', ...table(rows), '']),
    ...[...report.notes, `Both servers: ${settings}.`].map((note) => `* ${note}`),
    '',
  ].join('\n');
}

function table(rows: readonly Row[]): string[] {
  const columns = columnsOf(rows);
  return [
    ['', ...columns],
    ['---', ...columns.map(() => '---:')],
    ...rows.map(({ name, cells }) => [name, ...columns.map((column) => text(cells[column]))]),
  ].map((cells) => `| ${cells.join(' | ')} |`);
}

/** Writes `NAME.json`, `NAME.md` and `NAME.svg`. */
export function write(report: Report, where: Circumstances, folder: string): void {
  mkdirSync(folder, { recursive: true });
  const file = (extension: string): string => path.join(folder, `${report.name}.${extension}`);
  writeFileSync(file('json'), JSON.stringify({ ...where, ...report }, null, 2) + '\n');
  writeFileSync(file('md'), markdown(report, where));
  writeFileSync(file('svg'), chart(report, report.chart));
}

function columnsOf(rows: readonly Row[]): string[] {
  return [...new Set(rows.flatMap(({ cells }) => Object.keys(cells)))];
}

function text(cell: Cell): string {
  if (cell === undefined) return '–';
  if (typeof cell === 'string') return cell;
  return Number.isInteger(cell) || Math.abs(cell) >= 100
    ? String(Math.round(cell))
    : cell.toPrecision(3);
}
