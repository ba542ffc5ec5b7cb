/**
 * The structure that docs/architecture.md promises, for every layer: imports without a cycle, small files, one name for
 * one thing, and a page in each folder that says what it may import. ESLint proves the direction of the imports.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const CHECKOUT = path.resolve(import.meta.dirname, '../..');
const LAYERS = ['contract', 'postgres', 'workflows', 'activities', 'workers', 'scripts', 'bench'];
const MOST_LINES = 300;
const MOST_MEDIAN = 100;

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '-z', ...LAYERS], {
  cwd: CHECKOUT,
  encoding: 'utf8',
})
  .split('\0')
  .filter((file) => file.endsWith('.ts') && existsSync(path.join(CHECKOUT, file)))
  .sort();
const texts = new Map(files.map((file) => [file, readFileSync(path.join(CHECKOUT, file), 'utf8')]));
const layerOf = (file: string): string => file.split('/')[0] ?? '';
const linesOf = (file: string): number => (texts.get(file) ?? '').split('\n').length - 1;

/** Relative imports and re-exports, of types, too. */
function importsOf(file: string): string[] {
  const found = (texts.get(file) ?? '').matchAll(
    /(?:^(?:import|export)\b[^;'"]*?\bfrom\s+|\bimport\(\s*|^import\s+)'(\.[^']+)'/gm,
  );
  return [...found].map(([, to = '']) => path.normalize(path.join(path.dirname(file), to)));
}

/** Groups of files that reach each other by imports (Tarjan). */
function cycles(): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (file: string): number => {
    index.set(file, index.size);
    let lowest = index.size - 1;
    stack.push(file);
    for (const to of importsOf(file)) {
      if (!texts.has(to)) continue;
      if (!index.has(to)) lowest = Math.min(lowest, visit(to));
      else if (stack.includes(to)) lowest = Math.min(lowest, index.get(to) ?? lowest);
    }
    low.set(file, lowest);
    if (lowest === index.get(file)) {
      const group = stack.splice(stack.indexOf(file));
      if (group.length > 1) found.push(group.sort());
    }
    return lowest;
  };
  for (const file of files) if (!index.has(file)) visit(file);
  return found;
}

test('all layers are read, with their imports', () => {
  expect([...new Set(files.map(layerOf))].sort()).toEqual([...LAYERS].sort());
  expect(importsOf('workflows/activities.ts')).toContain('activities/create.ts');
});

test('no files import each other in a circle, types included', () => {
  expect(cycles().sort()).toEqual([]);
});

test('no file has more than 300 lines', () => {
  const long = files.filter((file) => linesOf(file) > MOST_LINES);
  expect(long).toEqual([]);
});

test.each(LAYERS)('half of the files of %s have at most 100 lines', (layer) => {
  const lines = files
    .filter((file) => layerOf(file) === layer)
    .map(linesOf)
    .sort((a, b) => a - b);
  expect(lines[Math.floor((lines.length - 1) / 2)]).toBeLessThanOrEqual(MOST_MEDIAN);
});

test.each(LAYERS)('no two files of %s have the same name', (layer) => {
  const count = new Map<string, number>();
  for (const file of files.filter((one) => layerOf(one) === layer)) {
    const name = path.basename(file);
    count.set(name, (count.get(name) ?? 0) + 1);
  }
  const twice = [...count].flatMap(([name, times]) => (times > 1 ? [name] : [])).sort();
  expect(twice).toEqual([]);
});

test('every layer and every room of postgres has a page that says what it may import', () => {
  const rooms = files
    .filter((file) => /^postgres\/[^/]+\//.test(file))
    .map((file) => path.dirname(file));
  const folders = new Set([...LAYERS, ...rooms.map((dir) => dir.split('/').slice(0, 2).join('/'))]);
  const undescribed = [...folders].filter((folder) => {
    const page = path.join(CHECKOUT, folder, 'README.md');
    return !existsSync(page) || !/May import/.test(readFileSync(page, 'utf8'));
  });
  expect(undescribed).toEqual([]);
});

test('every file that a comment names exists', () => {
  const everything = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], {
    cwd: CHECKOUT,
    encoding: 'utf8',
  }).split('\0');
  const ends = new Set(
    everything.flatMap((file) => {
      const parts = file.split('/');
      return parts.map((_, index) => parts.slice(index).join('/'));
    }),
  );
  const named = files.flatMap((file) =>
    (texts.get(file) ?? '').split('\n').flatMap((line, index) => {
      const comment = /(?:^\s*(?:\/\*\*|\*)|\/\/)(.*)/.exec(line)?.[1] ?? '';
      return [...comment.matchAll(/(?<![\w.])(?:[\w-]+\/)*[\w-]+\.(?:ts|mjs)\b/g)].map(
        ([name]) => ({ at: `${file}:${index + 1}`, name: name.replace(/^(?:\.\.?\/)+/, '') }),
      );
    }),
  );
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter(({ name }) => !ends.has(name))).toEqual([]);
});
