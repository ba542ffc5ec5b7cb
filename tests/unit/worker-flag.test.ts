/**
 * The flag of Node that keeps a worker's young generation small is set everywhere a worker is started.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { YOUNG_FLAG } from '../../workers/options.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

test.each([
  'package.json',
  'docs/how-to/workers.md',
  'docker/worker/start.sh',
  'scripts/walferry.mjs',
  'scripts/local/package.ts',
])('%s starts workers with the flag that workers/options.ts names', (file) => {
  expect(readFileSync(path.join(ROOT, file), 'utf8')).toContain(YOUNG_FLAG);
});
