/** The report as one HTML file: no script, no external resource, everything escaped. */
import type { Report } from './report-model.ts';
import { lagChart } from './lag-chart.ts';
import { sectionsOf, TITLE, type Block } from './sections.ts';

/** Colours of both schemes; a printed page is the light one. */
const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0; --page: #fff; --lag: #0b63ce; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --page: #0d1117; --lag: #6cb6ff; } }
body { color: var(--ink); background: var(--page); font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; border-bottom: 1px solid var(--line); }
.wide { overflow-x: auto; } table { border-collapse: collapse; } td, th { text-align: left; vertical-align: top; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 600; } svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 11px; }
.grid { stroke: var(--line); stroke-width: 1; } .lag { fill: none; stroke: var(--lag); stroke-width: 2; } .dot { fill: var(--lag); }`;

export function htmlOf(report: Report): string {
  const title = escaped(TITLE(report));
  const body = sectionsOf(report).flatMap((section) => [
    `<h2>${escaped(section.title)}</h2>`,
    ...section.blocks.map(markupOf),
  ]);
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    // Nothing can be loaded, whatever a text holds.
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${title}</title>`,
    `<style>${STYLE}</style>`,
    '</head>',
    '<body>',
    `<h1>${title}</h1>`,
    ...body,
    '</body>',
    '</html>',
    '',
  ].join('\n');
}

function markupOf(block: Block): string {
  switch (block.kind) {
    case 'text':
      return `<p>${escaped(block.text)}</p>`;
    case 'list':
      return `<ul>${block.items.map((item) => `<li>${escaped(item)}</li>`).join('')}</ul>`;
    case 'table':
      return `<div class="wide"><table><thead><tr>${cells('th', block.head)}</tr></thead><tbody>${block.rows
        .map((row) => `<tr>${cells('td', row)}</tr>`)
        .join('\n')}</tbody></table></div>`;
    case 'lag':
      return `<p>Bytes of WAL between the source and the target.</p>\n${lagChart(block.samples)}`;
  }
}

const cells = (tag: 'td' | 'th', texts: readonly string[]): string =>
  texts.map((one) => `<${tag}>${escaped(one)}</${tag}>`).join('');

const SIGNS: Readonly<Record<string, string>> = {
  ...{ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' },
};

export const escaped = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (sign) => SIGNS[sign] ?? sign);
