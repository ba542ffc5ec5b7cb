/** `walferry report` of real migrations: with what they survived, when no worker and no database answers any more. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import { Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { printed as printedReport } from '../support/printed-report.ts';
import { flowing } from '../support/streaming.ts';
import type { Report } from '../../scripts/report/report-model.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

function printed(id: string, format: 'md' | 'json' | 'html'): string {
  const text = printedReport(id, format);
  // Rows of LOAD_TABLES.
  expect(text).not.toMatch(/\b(?:item|note) \d/);
  return text;
}

const reportOf = (id: string): Report => JSON.parse(printed(id, 'json')) as Report;

test('a report shows what moved, a killed worker, who approved, each step of the cutover, and that nothing is left', async () => {
  await using lab = await Lab.open(LOAD_TABLES);
  const first = await lab.worker({ name: 'first' });
  const load = lab.load();
  await lab.start({ approval: 'required', stream: { leaseSeconds: 5 } });
  await lab.phase('stream');
  await flowing(lab, load);
  await first.kill();
  await lab.worker({ name: 'second' });
  await flowing(lab, load);
  const running = reportOf(lab.id);
  expect(running).toMatchObject({
    ...{ status: 'running', ended: null, leftBehind: null, approvals: [] },
    summary: expect.stringMatching(/^The migration is in phase stream, running/) as unknown,
  });
  await lab.update('approve', { name: 'Ada', note: 'change 4711' });
  await lab.finish();
  for (const worker of lab.workers) await worker.kill();

  const report = reportOf(lab.id);
  expect(report).toMatchObject({
    ...{ status: 'done', leftBehind: [], stops: [], resyncs: 0 },
    ...{ source: lab.pair.source, target: lab.pair.target },
    approvals: [{ name: 'Ada', note: 'change 4711' }],
    histories: { complete: true },
  });
  // The worker died while it streamed: its attempt timed out, and another worker took over.
  expect(report.faults.workers).toBe(2);
  expect(report.faults.lost).toBeGreaterThanOrEqual(1);
  expect(report.faults.list.map(({ step }) => step)).toContain('stream');
  expect(report.moved?.transactions).toBeGreaterThan(100);
  expect(report.moved?.rows).toBeGreaterThan(0);
  expect(report.phases.map(({ phase }) => phase)).toEqual([
    ...['preflight', 'schema', 'snapshot', 'indexes', 'stream', 'cutover'],
  ]);
  // Several samples of each lease.
  expect(report.lag.length).toBeGreaterThan(2);
  expect(report.changes.filter(({ undone }) => undone === null)).toEqual([]);
  const [cutover] = report.cutovers;
  expect(cutover?.end?.how).toBe('done');
  expect(cutover?.steps.map(({ step }) => step)).toEqual(
    expect.arrayContaining(['write end mark', 'set sequences', 'release the slot']),
  );
  expect(cutover?.seconds).toBeGreaterThan(0);

  expect(printed(lab.id, 'html')).toMatch(/<svg [\s\S]*<circle class="dot"/);
  expect(printed(lab.id, 'md')).toMatch(/\| Ada \| change 4711 \| none \|/);
});

/** Everything of walferry's that is on the servers, whoever made it. */
const LEFT = /* sql */ `
  select 'slot' as what from pg_replication_slots
  where database = current_database() and slot_name like 'walferry%'
  union all select nspname::text from pg_namespace where nspname like 'walferry%'`;

test('a report of a migration that switched back has every second without writes, and names the sealed fence, which is all that is left', async () => {
  await using lab = await Lab.open(LOAD_TABLES);
  await lab.worker();
  const box = { maxDowntimeSeconds: 120 };
  await lab.start({
    fence: 'trigger',
    switchback: '1h',
    cutover: box,
    stream: { leaseSeconds: 5 },
  });
  await lab.phase('stream');
  // On a busy machine it runs over its 5 s, and is undone: that counts as well.
  await lab.update('rehearse', { fence: true });
  for (const name of ['cutover', 'switchback']) {
    const answer = await lab.update(name);
    expect(answer.code, answer.stderr + answer.stdout).toBe(0);
  }
  await lab.ending();
  const left = { source: await lab.onSource(LEFT), target: await lab.onTarget(LEFT) };
  expect(left).toEqual({ source: [], target: [{ what: 'walferry_fence' }] });
  for (const worker of lab.workers) await worker.kill();

  const report = reportOf(lab.id);
  expect(report.cutovers.map(({ kind }) => kind)).toEqual(['rehearsal', undefined, 'switchback']);
  expect(report.cutovers.slice(1).map(({ end }) => end?.how)).toEqual(['done', 'done']);
  for (const { stoppedSeconds } of report.cutovers) expect(stoppedSeconds).toBeGreaterThan(0);
  // The databases' clocks, and not the workflow's.
  expect(report.cutovers[1]?.stoppedSeconds).toBe(report.downtimeSeconds);
  expect(report.leftBehind).toEqual([
    expect.stringContaining(
      `the fence on "${lab.pair.target}" (schema walferry_fence) stays sealed`,
    ),
  ]);
  const undone = report.changes.filter(({ undone }) => undone === null).map(({ what }) => what);
  expect(undone).toEqual([`fence on "${lab.pair.target}", for the switch back`]);
  expect(printed(lab.id, 'md')).toMatch(
    /walferry stopped the writes 3 times, for at most [\d.]+ m?s in total\./,
  );
});

test('a report of an aborted migration says why it ended and that nothing of walferry is left', async () => {
  await using lab = await Lab.open(LOAD_TABLES);
  await lab.worker();
  await lab.start();
  await lab.phase('stream');
  expect((await lab.update('abort')).code).toBe(0);
  await lab.ending();
  for (const worker of lab.workers) await worker.kill();
  expect(reportOf(lab.id)).toMatchObject({
    ...{ status: 'aborted', leftBehind: [], cutovers: [] },
    summary: expect.stringMatching(/^aborted by the operator/) as unknown,
  });
});

test('an unknown migration is refused by name', () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    ['scripts/walferry.mjs', 'report', 'no-such-migration'],
    { cwd: ROOT, encoding: 'utf8' },
  );
  expect({ status, stderr }).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('knows no workflow "no-such-migration"') as unknown,
  });
});
