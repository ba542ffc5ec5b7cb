/** A report as horizontal bars, one group per row, as SVG. */
import type { Chart, Report } from './result.ts';

const BAR = 14;
const GAP = 12;
const LABEL_WIDTH = 170;
const WIDTH = 900;
const VALUE_WIDTH = 60;
const COLORS = ['#1f6f8b', '#d98032', '#8d99ae', '#6a994e', '#b56576'];

export function chart({ title, rows: all }: Report, { unit, columns, rows: names }: Chart): string {
  const rows = all.filter(({ name }) => names === undefined || names.includes(name));
  const value = (row: Report['rows'][number], column: string): number | undefined => {
    const cell = row.cells[column];
    return typeof cell === 'number' ? cell : undefined;
  };
  const most = Math.max(...rows.flatMap((row) => columns.map((column) => value(row, column) ?? 0)));
  const scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / (most || 1);
  const group = columns.length * BAR + GAP;
  const top = 58;
  const bars = rows.flatMap((row, index) => {
    const y = top + index * group;
    const middle = y + (columns.length * BAR) / 2 + 4;
    return [
      `<text x="${LABEL_WIDTH - 8}" y="${middle}" text-anchor="end">${escape(row.name)}</text>`,
      ...columns.flatMap((column, place) => {
        const number = value(row, column);
        if (number === undefined) return [];
        const at = y + place * BAR;
        const width = Math.max(1, number * scale).toFixed(1);
        return [
          `<rect x="${LABEL_WIDTH}" y="${at}" width="${width}" height="${BAR - 2}" fill="${COLORS[place % COLORS.length]}"/>`,
          `<text x="${LABEL_WIDTH + Number(width) + 4}" y="${at + BAR - 4}" class="value">${number.toPrecision(3)}</text>`,
        ];
      }),
    ];
  });
  const legend = columns.map((column, place) => {
    const x = LABEL_WIDTH + place * 140;
    return `<rect x="${x}" y="34" width="12" height="12" fill="${COLORS[place % COLORS.length]}"/><text x="${x + 17}" y="44">${escape(column)}</text>`;
  });
  const height = top + rows.length * group + 8;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    '<style>.value { font-size: 10px; fill: #444 }</style>',
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    `<text x="12" y="20" font-size="14" font-weight="bold">${escape(title)} (${escape(unit)})</text>`,
    ...legend,
    ...bars,
    '</svg>',
    '',
  ].join('\n');
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.codePointAt(0) ?? 0};`);
}
