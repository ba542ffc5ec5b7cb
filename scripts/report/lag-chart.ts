/**
 * The lag over time as an SVG, made from the samples: no library, no external resource. One series, so no legend: the title
 * names it. Every sample has its value as a tooltip, and the axes are labelled with what people read.
 */
import { bytes, duration, moment } from '../../workflows/wording.ts';
import type { LagSample } from '../../contract/record.ts';

const WIDTH = 760;
const HEIGHT = 220;
const LEFT = 70;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 28;
const LINES = 4;

/** @returns '' without a sample. All text in it is made here, from numbers and times. */
export function lagChart(samples: readonly LagSample[]): string {
  const [first] = samples;
  const last = samples.at(-1);
  if (!first || !last) return '';
  const begin = Date.parse(first.at);
  const span = Math.max(1, Date.parse(last.at) - begin);
  const most = niceMost(Math.max(...samples.map((one) => one.bytes), 1));
  const x = (at: string) => LEFT + ((Date.parse(at) - begin) / span) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => TOP + (1 - value / most) * (HEIGHT - TOP - BOTTOM);
  const points = samples.map((one) => [x(one.at).toFixed(1), y(one.bytes).toFixed(1)] as const);
  const line = points.map(([px, py]) => `${px},${py}`).join(' ');
  return [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Lag of the stream over time, in bytes of WAL">`,
    ...grid(most, y),
    `<polyline class="lag" points="${line}"/>`,
    ...samples.map((one, at) => {
      const [px = '0', py = '0'] = points[at] ?? [];
      const said = `${moment(one.at)}: ${bytes(one.bytes)}, ${duration(one.seconds)}`;
      return `<circle class="dot" cx="${px}" cy="${py}" r="2.5"><title>${said}</title></circle>`;
    }),
    `<text x="${LEFT}" y="${HEIGHT - 8}">${moment(first.at)}</text>`,
    `<text x="${WIDTH - RIGHT}" y="${HEIGHT - 8}" text-anchor="end">${moment(last.at)}</text>`,
    '</svg>',
  ].join('\n');
}

function grid(most: number, y: (value: number) => number): string[] {
  return Array.from({ length: LINES + 1 }, (_, at) => {
    const value = (most / LINES) * at;
    const py = y(value).toFixed(1);
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${py}" y2="${py}"/><text x="${LEFT - 8}" y="${Number(py) + 4}" text-anchor="end">${bytes(value)}</text>`;
  });
}

/** The next of 1, 2, 5 times a power of ten, so that the lines of the grid have round values. */
function niceMost(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 4, 10].find((one) => one * power >= value) ?? 10;
  return Math.max(step * power, LINES);
}
