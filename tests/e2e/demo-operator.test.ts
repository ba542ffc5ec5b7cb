/** `walferry watch` and `walferry cleanup` with a real migration. */
import { execFile, spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import { Lab } from '../support/lab.ts';
import { until } from '../support/until.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

interface Outcome {
  code: number;
  out: string;
  err: string;
}

function begin(
  file: string,
  words: string[],
  options: object,
): { out: string; ended: Promise<Outcome> } {
  const run = { out: '', ended: Promise.resolve({ code: 0, out: '', err: '' }) };
  run.ended = new Promise((resolve) => {
    const child = execFile(file, words, { cwd: ROOT, ...options }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, out, err });
    });
    child.stdout?.on('data', (text: string) => (run.out += text));
  });
  return run;
}

function script(name: string, ...words: string[]): ReturnType<typeof begin> {
  return begin(process.execPath, ['--import', 'tsx', 'scripts/program.ts', name, ...words], {});
}

/** Under a pseudo-terminal: util-linux `script` passes on output and exit code. */
function onTerminal(command: string): ReturnType<typeof begin> {
  const env = { ...process.env, NODE: process.execPath, TERM: 'xterm' };
  return begin('script', ['-qec', `stty cols 100 rows 30; ${command}`, '/dev/null'], { env });
}

const TABLE = `create table item (id bigint primary key, name text);
  insert into item select n, 'item ' || n from generate_series(1, 50000) n; analyze item`;

test('watch follows a migration to its end, as lines through a pipe and as a block on a terminal', async () => {
  await using lab = await Lab.open(TABLE);
  await lab.worker();
  // The lease that ends reports that the table is ready.
  await lab.start({ stream: { leaseSeconds: 5 } });
  const piped = script('watch', lab.id);
  const shown = onTerminal(`exec "$NODE" --import tsx scripts/program.ts watch ${lab.id}`);
  await until('watch to show the stream', () => /^stream/m.test(piped.out), { seconds: 90 });
  await until('the block to show it', () => shown.out.includes(': stream'), { seconds: 90 });
  await until('the tables to be ready', async () => (await lab.progress()).tables?.ready === 1, {
    seconds: 90,
  });
  const listed = await script('watch', lab.id, '--tables').ended;
  expect(listed, listed.err).toMatchObject({ code: 0 });
  expect(listed.out).toMatch(
    /: 1 table: 1 ready\nTABLE +STATE .*\npublic\.item +ready +50,000 .*\n$/,
  );
  const json = await script('watch', lab.id, '--tables', '--json').ended;
  expect(JSON.parse(json.out)).toMatchObject({
    target: lab.pair.target,
    tables: [{ table: 'public.item', state: 'ready', rows: 50_000, reason: null }],
  });
  const elsewhere = begin(
    process.execPath,
    ['--import', 'tsx', 'scripts/program.ts', 'watch', lab.id, '--tables'],
    { env: { ...process.env, PGSERVICEFILE: '/dev/null' } },
  );
  const unread = await elsewhere.ended;
  expect(unread.code).toBe(2);
  expect(unread.err).toContain(`the tables cannot be read from "${lab.pair.target}" here`);
  await lab.finish();
  const [lines, block] = await Promise.all([piped.ended, shown.ended]);
  expect(lines, lines.err).toMatchObject({ code: 0 });
  expect(lines.out).not.toContain('\u001b');
  expect(lines.out).toMatch(/^stream \S+ → \S+/m);
  expect(lines.out).toMatch(/^done \S+ → \S+/m);
  expect(lines.out).toMatch(/confirmed [0-9A-F]+\/[0-9A-F]+/);
  expect(lines.out).toContain(`${lab.id}: completed: "${lab.pair.target}" is ready`);
  expect(block.code, block.out).toBe(0);
  expect(block.out).toMatch(/\u001b\[\d*A/);
  expect(block.out).toContain('copied 50,000 rows');
  expect(block.out).toContain(`${lab.id}: completed: "${lab.pair.target}" is ready`);
});

test('a watch that starts after a kill in the stream shows no zeros: old numbers show their time', async () => {
  await using lab = await Lab.open(TABLE);
  const first = await lab.worker();
  await lab.start();
  await lab.phase('stream');
  for (let id = 1; id <= 5; id++) await lab.onSource(`delete from item where id = ${id}`);
  await until('the changes on the target', async () => {
    const [row] = await lab.onTarget<{ n: number }>('select count(*)::int as n from item');
    return row?.n === 49_995;
  });
  // Heartbeats are held back for a while: the server may still have one from before the changes.
  await until('a heartbeat with the changes', async () =>
    (await lab.look()).activities.some(({ heartbeat }) => Number(heartbeat['transactions']) >= 5),
  );
  // It already waits: what the watch sees before the heartbeat timeout must not depend on a worker's start-up time.
  await lab.worker();
  await first.kill();
  const piped = script('watch', lab.id);
  await until('the next attempt to be shown', () => piped.out.includes('attempt 2'), {
    seconds: 40,
  });
  await lab.onSource('delete from item where id = 6');
  // A note about the attempt stays on the line as long as it runs.
  await until(
    'live numbers after the kill',
    () => /^stream .* s, confirmed \S+, .*attempt 2/m.test(piped.out),
    { seconds: 30 },
  ).catch((error: unknown) => expect.fail(`${String(error)}\n${piped.out}`));
  await lab.finish();
  const { out } = await piped.ended;
  const streaming = out.split('\n').filter((line) => line.startsWith('stream'));
  const unfounded = streaming.filter(
    (line) => /\b0 transactions/.test(line) && !line.includes('(as of '),
  );
  expect(unfounded, out).toEqual([]);
  expect(
    streaming.filter((line) => line.includes('attempt 2')),
    out,
  ).toContainEqual(
    expect.stringMatching(/\(as of \S+ \S+ UTC\)|no heartbeat yet|waiting for a heartbeat/),
  );
});

test('watch ends with 1 after an abort, and with 2 for an unknown id or without a server', async () => {
  await using lab = await Lab.open(TABLE);
  await lab.worker();
  await lab.start();
  await lab.phase('stream');
  const watching = script('watch', lab.id);
  const answer = await lab.update('abort');
  expect(answer.code, answer.stderr).toBe(0);
  const aborted = await watching.ended;
  expect(aborted.code).toBe(1);
  expect(aborted.out).toMatch(/failed: .*abort/i);

  const unknown = await script('watch', 'no-such-workflow').ended;
  expect(unknown.code).toBe(2);
  expect(unknown.err).toContain('knows no workflow "no-such-workflow"');
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', 'scripts/program.ts', 'watch', 'x'],
    { cwd: ROOT, encoding: 'utf8', env: { ...process.env, TEMPORAL_ADDRESS: '127.0.0.1:1' } },
  );
  expect(status).toBe(2);
  expect(stderr).toContain('no Temporal server answers at 127.0.0.1:1');
});

test('cleanup refuses while the run is open, and removes what a terminated one left', async () => {
  await using lab = await Lab.open(TABLE);
  const worker = await lab.worker();
  await lab.start();
  await lab.phase('stream');
  const { source, target } = lab.pair;
  for (const words of [[], ['--force']]) {
    const refused = await script('cleanup', source, target, '--workflow-id', lab.id, ...words)
      .ended;
    expect(refused.code).toBe(1);
    expect(refused.err).toContain(`a run of workflow "${lab.id}" is open`);
  }
  await worker.kill();
  await lab.handle.terminate('test');
  const removed = await script('cleanup', source, target, '--workflow-id', lab.id).ended;
  expect(removed.code, removed.err).toBe(0);
  expect(removed.out).toContain('dropped slot walferry_');
  expect(removed.out).toContain('removed the control schema');
  await lab.expectNothingLeft();
  await lab.expectContained();
});
