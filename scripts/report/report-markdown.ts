/** The report as Markdown, for a ticket or a wiki. */
import { bytes, duration, moment } from '../../workflows/wording.ts';
import type { LagSample } from '../../contract/record.ts';
import type { Report } from './report-model.ts';
import { sectionsOf, TITLE, type Block } from './sections.ts';

const MOST_LAG_ROWS = 12;

export function markdownOf(report: Report): string {
  const parts = sectionsOf(report).flatMap(({ title, blocks }) => [
    ...['', `## ${title}`],
    ...blocks.flatMap((block) => ['', ...linesOf(block)]),
  ]);
  return [`# ${escaped(TITLE(report))}`, ...parts, ''].join('\n');
}

function linesOf(block: Block): string[] {
  switch (block.kind) {
    case 'text':
      return [escaped(block.text)];
    case 'list':
      return block.items.map((item) => `- ${escaped(item)}`);
    case 'table':
      return tableOf(block.head, block.rows);
    case 'lag':
      return tableOf(['when', 'bytes', 'time'], lagRows(block.samples));
  }
}

/** The worst one of each part, in order: a chart needs the HTML. */
function lagRows(samples: readonly LagSample[]): string[][] {
  const size = Math.ceil(samples.length / MOST_LAG_ROWS);
  const rows: string[][] = [];
  for (let from = 0; from < samples.length; from += size) {
    const [first, ...others] = samples.slice(from, from + size);
    if (!first) continue;
    const {
      at,
      bytes: behind,
      seconds,
    } = others.reduce((worst, one) => (one.bytes > worst.bytes ? one : worst), first);
    rows.push([moment(at), bytes(behind), duration(seconds)]);
  }
  return rows;
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => escaped(cell)).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}

/** Nothing in a text becomes markup, a link or another cell. */
function escaped(text: string): string {
  return text
    .replaceAll(/\s*\n\s*/g, ' ')
    .replaceAll(/[\\`*[\]<>|]|(?<!\w)_|_(?!\w)/g, (sign) => `\\${sign}`)
    .replaceAll('&', '&amp;')
    .replace(/^(\s*)([#+-]|\d+\.)(?=\s)/, '$1\\$2');
}
