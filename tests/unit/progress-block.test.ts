/** The progress block on a pseudo-terminal (util-linux `script`) and through a pipe. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { Waiting } from '../../contract/progress.ts';
import type { View } from '../../scripts/watch/model.ts';
import { headline, renderBlock, renderLine } from '../../scripts/watch/block.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

const VIEW: View = {
  status: 'RUNNING',
  phase: 'snapshot',
  state: 'running',
  source: 'old',
  target: 'new',
  confirmedLsn: '0/1A2B',
  copy: {
    ...{ rows: 1_234_567, bytes: 98_765_432, chunksDone: 12, chunksTotal: 40, fraction: 0.3333 },
    ...{ rowsPerSecond: 250_000, bytesPerSecond: 20_000_000, etaSeconds: 9.6 },
  },
  indexes: undefined,
  stream: undefined,
  step: undefined,
  waiting: null,
  notes: [],
  troubles: [],
};
const STREAM = {
  ...{ transactions: 1000, changes: 5000, changesPerSecond: 480, lagBytes: 2048, lagSeconds: 0.4 },
  age: undefined,
};
const WAITING: Waiting = {
  ...{ step: 'stream', code: 'RowMissing', reason: 'a row is gone', action: 'put it back' },
};

test('the block shows phase, rows, bytes, %, rate and ETA', () => {
  expect(renderBlock('orders', VIEW, 100)).toEqual([
    'orders: snapshot old → new',
    '  ██████████░░░░░░░░░░░░░░░░░░░░ 33 %',
    '  copied 1,234,567 rows, 98.8 MB, chunks 12 of 40',
    '  250,000 rows/s, 20.0 MB/s, ETA 10 s',
    '  confirmed 0/1A2B',
  ]);
});

test('the block shows lag in bytes and seconds, and why it waits and what to do', () => {
  const view: View = {
    ...VIEW,
    phase: 'stream',
    state: 'waiting',
    stream: STREAM,
    waiting: WAITING,
  };
  const lines = renderBlock('orders', view, 200).join('\n');
  expect(lines).toContain('orders: stream (waiting) old → new');
  expect(lines).toContain('1,000 transactions, 5,000 changes, 480 changes/s, lag 2.0 kB / 0.4 s');
  expect(lines).toContain('waits at stream: a row is gone (RowMissing)');
  expect(lines).toContain('what to do: put it back');
});

test('old numbers show their time, and a stream that has reported nothing shows no zeros', () => {
  const age = 'as of 2026-11-21 09:41:07 UTC';
  const old: View = { ...VIEW, phase: 'stream', stream: { ...STREAM, age } };
  expect(renderBlock('orders', old, 200).join('\n')).toContain(`lag 2.0 kB / 0.4 s (${age})`);
  const none: View = { ...VIEW, phase: 'stream', stream: undefined };
  expect(renderBlock('orders', none, 200)).toContain('  stream waiting for a heartbeat');
  expect(renderLine(none)).toBe('stream old → new, waiting for a heartbeat, confirmed 0/1A2B');
});

test('what is built after the rows is counted', () => {
  const indexes = {
    ...{ indexesBuilt: 12, indexesTotal: 14, tablesAnalyzed: null },
    ...{ constraintsBuilt: null, constraintsTotal: 3 },
  };
  expect(renderBlock('orders', { ...VIEW, phase: 'indexes', indexes }, 200)).toContain(
    '  built 12 of 14 indexes and keys, 3 constraints and triggers to build',
  );
});

test('no line is longer than the terminal is wide', () => {
  const view: View = { ...VIEW, waiting: { ...WAITING, reason: 'x'.repeat(500) }, stream: STREAM };
  for (const line of renderBlock('orders', view, 40)) expect(line.length).toBeLessThanOrEqual(40);
});

test('one line says the same for a log', () => {
  expect(renderLine(VIEW)).toBe(
    'snapshot old → new, 33 % 1,234,567 rows, 98.8 MB, chunks 12/40, 250,000 rows/s, 20.0 MB/s, ETA 10 s',
  );
  const stream: View = {
    ...VIEW,
    phase: 'stream',
    stream: STREAM,
    troubles: ['no worker answers'],
  };
  expect(renderLine(stream)).toContain('confirmed 0/1A2B, no worker answers');
  expect(headline({ ...VIEW, phase: 'done', status: 'COMPLETED', state: 'running' })).toBe(
    'done old → new',
  );
  // Refused for its input: no worker is to blame.
  expect(headline({ ...VIEW, phase: undefined, status: 'FAILED' })).toBe('failed before it began');
  expect(headline({ ...VIEW, phase: undefined, status: 'RUNNING' })).toContain('is a worker');
  expect(headline({ ...VIEW, status: 'PAUSED' })).toContain('snapshot (paused in Temporal)');
});

/** Shows two views one after the other, then ends. */
const PROGRAM = `
  import { screenFor } from './scripts/watch/screen.ts';
  const view = ${JSON.stringify(VIEW)};
  const screen = screenFor('orders', process.stdout);
  screen.show(view);
  screen.show({ ...view, copy: { ...view.copy, rows: 2000000 } });
  screen.show({ ...view, phase: 'indexes' });
  screen.say('orders: completed: fine');
  screen.end();`;

test('on a pseudo-terminal the block is updated in place, and the cursor comes back', () => {
  // The program is passed through the environment: no quoting needed.
  const command =
    'stty cols 90 rows 30; exec "$NODE" --import tsx --input-type=module -e "$PROGRAM"';
  const { stdout, status } = spawnSync('script', ['-qec', command, '/dev/null'], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, TERM: 'xterm', NODE: process.execPath, PROGRAM },
  });
  expect(status, stdout).toBe(0);
  expect(stdout).toContain('1,234,567 rows');
  expect(stdout).toContain('2,000,000 rows');
  // Lines are overwritten with escape sequences, instead of printed below each other.
  expect(stdout.match(/\u001b\[\d*A/g)?.length).toBeGreaterThan(1);
  expect(stdout).toContain('\u001b[?25h');
  expect(stdout.match(/completed: fine/g)).toHaveLength(1);
});

test('through a pipe there are plain lines without escape sequences, one for each change of phase', () => {
  const { stdout, status } = spawnSync(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', PROGRAM],
    { cwd: ROOT, encoding: 'utf8' },
  );
  expect(status).toBe(0);
  expect(stdout).not.toContain('\u001b');
  expect(stdout.split('\n')).toEqual([
    expect.stringContaining('snapshot old → new, 33 %'),
    'indexes old → new',
    'orders: completed: fine',
    '',
  ]);
});
