/** Every command requires the Node version that package.json names; so does the README. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** The answer to a command that does not exist, under a Node that reports this version. */
function doorOf(version: string): string {
  const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`;
  const { stderr } = spawnSync(
    process.execPath,
    [
      '--import',
      `data:text/javascript,${encodeURIComponent(pretend)}`,
      'scripts/walferry.mjs',
      'no-such',
    ],
    { cwd: ROOT, encoding: 'utf8' },
  );
  return stderr;
}

test.each(['20.19.0', '20.20.2', '22.13.0', '22.22.1', '24.0.0', '26.1.0'])(
  'Node %s is accepted',
  (version) => {
    expect(doorOf(version)).toMatch(/^error: unknown command 'no-such'\n/);
  },
);

test.each(['18.20.4', '20.3.0', '20.18.3', '21.7.0', '22.12.0', '23.11.0'])(
  'Node %s is refused with the required versions',
  (version) => {
    expect(doorOf(version)).toBe(
      `walferry: Node ^20.19.0 || ^22.13.0 || >=24 is needed; this is ${version}\n`,
    );
  },
);

test('the README names the same', () => {
  expect(readFileSync(path.join(ROOT, 'README.md'), 'utf8')).toContain(
    'Node 20.19 or newer (of 22: 22.13',
  );
});
