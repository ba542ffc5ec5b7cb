/** Every page can be read from end to end: links and anchors lead somewhere, tables are whole, lines are short. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from './page.ts';

/** A column of prose that fits beside a diff. */
const WIDTH = 120;

interface Line {
  readonly at: string;
  readonly text: string;
  /** Within a fenced block, whose text is what a program printed. */
  readonly code: boolean;
}

const pages = execFileSync('git', ['ls-files', '-z', '-co', '--exclude-standard', '*.md'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\0')
  .filter((file) => file !== '' && existsSync(path.join(ROOT, file)));

function linesOf(page: string): Line[] {
  let code = false;
  return readFileSync(path.join(ROOT, page), 'utf8')
    .split('\n')
    .map((text, index) => {
      const fence = /^\s*```/.test(text);
      const line = { at: `${page}:${index + 1}`, text, code: code || fence };
      if (fence) code = !code;
      return line;
    });
}

const prose = (page: string): Line[] => linesOf(page).filter(({ code }) => !code);

/** Anchors as GitHub derives them from headings. */
function anchorsOf(page: string): Set<string> {
  return new Set(
    prose(page)
      .filter(({ text }) => text.startsWith('#'))
      .map(({ text }) => text.replace(/^#+ /, '').toLowerCase())
      .map((text) => text.replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-')),
  );
}

/** Links may break over two lines, so they are found in the text as a whole. */
function linksOf(page: string): string[] {
  const text = prose(page)
    .map((line) => line.text.replaceAll(/`[^`]*`/g, '`'))
    .join('\n');
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
}

function isBroken(page: string, link: string): boolean {
  if (/^https?:/.test(link)) return false;
  const [file = '', anchor] = link.split('#');
  const target = file === '' ? page : path.join(path.dirname(page), file);
  if (!existsSync(path.join(ROOT, target))) return true;
  return anchor !== undefined && !anchorsOf(target).has(anchor);
}

test('every relative link and every anchor leads somewhere', () => {
  const links = pages.flatMap((page) => linksOf(page).map((link) => ({ page, link })));
  expect(links.length).toBeGreaterThan(150);
  expect(links.filter(({ page, link }) => isBroken(page, link))).toEqual([]);
});

test('every source file that a page names exists', () => {
  const named = pages.flatMap((page) =>
    prose(page).flatMap(({ at, text }) =>
      [...text.matchAll(/`((?:[\w-]+\/)+[\w.-]+\.(?:ts|mjs))`/g)].map(([, file = '']) => ({ at, file })),
    ),
  );
  expect(named.length).toBeGreaterThan(30);
  expect(named.filter(({ file }) => !existsSync(path.join(ROOT, file)))).toEqual([]);
});

test('every page of the documentation is in its index', () => {
  const index = linksOf('docs/README.md').map((link) => path.join('docs', link));
  const missing = pages.filter(
    (page) => /^docs\/.+\.md$/.test(page) && page !== 'docs/README.md' && !index.includes(page),
  );
  expect(missing).toEqual([]);
});

test('every row of a table has a cell for every column', () => {
  const broken = pages.flatMap((page) => {
    let columns: number | undefined;
    return prose(page).flatMap(({ at, text }) => {
      if (!text.startsWith('|')) {
        columns = undefined;
        return [];
      }
      const cells = text.split(/(?<!\\)\|/).length;
      columns ??= cells;
      return cells === columns ? [] : [at];
    });
  });
  expect(broken).toEqual([]);
});

test('no line of prose is longer than 120 characters', () => {
  const long = pages
    .filter((page) => page.startsWith('docs/') || !page.includes('/'))
    .flatMap(prose)
    .filter(({ text }) => text.length > WIDTH && !text.startsWith('|') && text.includes(' '))
    .map(({ at }) => at);
  expect(long).toEqual([]);
});

test('the README fits into five minutes', () => {
  expect(linesOf('README.md').length).toBeLessThanOrEqual(200);
});
