/** `walferry preflight` as an operator runs it: a file, two services, no Temporal server. */
import { execFile } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { freshPair } from '../../support/database.ts';
import { testRun } from '../../support/run.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Writes the text to a file and runs the command on it. */
async function preflight(text: string, ...words: string[]): Promise<Outcome> {
  const file = path.join(mkdtempSync(path.join(testRun().folder, 'input-')), 'migration.json');
  writeFileSync(file, text);
  const { TEMPORAL_ADDRESS: _, ...env } = process.env;
  const arguments_ = ['scripts/walferry.mjs', 'preflight', file, ...words];
  return await new Promise((resolve) => {
    execFile(process.execPath, arguments_, { cwd: ROOT, env }, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, out, err });
    });
  });
}

it('a pair with only warnings is ready: the warnings are shown, and the exit code is 0', async () => {
  await using db = await freshPair();
  await db.sourceClient.query('create table t (id int primary key)');
  await db.sourceClient.query('select lo_create(0)');
  const { source, target } = db;
  const outcome = await preflight(
    JSON.stringify({ source, target, ignore: { largeObjects: true } }),
  );
  expect(outcome, outcome.err).toMatchObject({ code: 0 });
  expect(outcome.out).toMatch(new RegExp(`^source   ${source}: PostgreSQL \\d+`));
  expect(outcome.out).toContain('warning  [large-objects] the source has 1 large object ');
  expect(outcome.out).toMatch(/\nready: 0 errors, \d+ warnings?, \d+ notes?\n$/);
});

it('an error is shown with what to do, in JSON too, and the exit code is 1', async () => {
  await using db = await freshPair();
  await db.sourceClient.query('create table t (id int)');
  const input = JSON.stringify({ source: db.source, target: db.target });
  const outcome = await preflight(input);
  expect(outcome.code).toBe(1);
  expect(outcome.out).toContain('error    [replica-identity]');
  expect(outcome.out).toContain('→ On the source: alter table public.t replica identity full;');
  const json = await preflight(input, '--json');
  expect(json.code).toBe(1);
  // Among others: slots of parallel tests are on the same server.
  const findings = [expect.objectContaining({ level: 'error', code: 'replica-identity' })];
  expect(JSON.parse(json.out)).toMatchObject({
    ready: false,
    findings: expect.arrayContaining(findings) as unknown,
  });
});

it('a file that is not a valid input is refused with exit code 2, and its text is not repeated', async () => {
  const broken = await preflight('{"source": "a",\n "password": hunter2');
  expect(broken.code).toBe(2);
  expect(broken.err).toMatch(/preflight: .*migration\.json is not JSON: line 2, column 14\n$/);
  expect(broken.err + broken.out).not.toContain('hunter2');
  const wrong = await preflight('{"source": "a", "target": "b", "password": "hunter2"}');
  expect(wrong.code).toBe(2);
  expect(wrong.err).toContain('"password" is not allowed');
  expect(wrong.err + wrong.out).not.toContain('hunter2');
});

it('--help says what the command needs and what the exit codes mean', async () => {
  const { code, out } = await preflight('{}', '--help');
  expect(code).toBe(0);
  expect(out).toContain('no Temporal');
  expect(out).toMatch(/Exit codes: 0 ready/);
});
