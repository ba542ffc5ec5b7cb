/**
 * `walferry report` on recorded histories, which are real: every ending, running and continued migrations. The examples beside this
 * test are what it prints; `npx vitest run --project unit -u` rewrites them.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { describe, expect, test } from 'vitest';
import { NO_COURSE, type MigrationRecord } from '../../contract/record.ts';
import { lagChart } from '../../scripts/report/lag-chart.ts';
import { buildReport } from '../../scripts/report/report-build.ts';
import type { Known } from '../../scripts/report/report-facts.ts';
import { htmlOf } from '../../scripts/report/report-html.ts';
import { markdownOf } from '../../scripts/report/report-markdown.ts';
import type { Report } from '../../scripts/report/report-model.ts';
import { render } from '../../scripts/report/reporter.ts';
import { readHistory, type RunHistory } from '../../scripts/report/run-history.ts';

const HISTORIES = path.resolve(import.meta.dirname, '../replay/histories');
const EXAMPLES = path.join(import.meta.dirname, 'report-example');
const NOW = '2026-11-28T00:00:00.000Z';

/** Read once: one test needs each beginning of a history. */
const histories = new Map<string, ReturnType<typeof historyFromJSON>>();

function recorded(name: string, until = Infinity): RunHistory {
  const text = () => readFileSync(path.join(HISTORIES, `${name}.json`), 'utf8');
  const whole = histories.get(name) ?? historyFromJSON(JSON.parse(text()));
  histories.set(name, whole);
  const events = (whole.events ?? []).slice(0, until);
  return readHistory({ ...whole, events }, 'recorded', 'run-1');
}

const known = (run: RunHistory, more: Partial<Known> = {}): Known => ({
  ...{ runs: [run], complete: true, now: NOW, ...more },
});
const reportOf = (name: string): Report => buildReport(known(recorded(name)));

describe('a migration of earlier code, from its history alone', () => {
  test.each([
    ['done', 'done', /^"orders_new" is ready: everything committed on "orders_old"/],
    ['done-after-many-detours', 'done', /^"orders_new" is ready/],
    ['resynced', 'done', /^"orders_new" is ready/],
    ['cancelled-cutover', 'done', /^"orders_new" is ready/],
    ['done-with-kept-slot', 'done', /the migration is complete.*the slot is kept/i],
    ['done-with-kept-control', 'done', /the migration is complete.*control schema is still on/i],
    ['aborted', 'aborted', /^aborted by the operator/],
    ['cancelled-in-the-copy', 'cancelled', /^The migration was cancelled/],
    ['cancelled-with-kept-slot', 'failed', /^cancelled; .*the slot is kept/],
    ['failed-input', 'failed', /^invalid input: "target" is missing/],
    ['failed-preflight', 'failed', /preflight found 1 error/],
    ['failed-schema', 'failed', /createSlot met Denied/],
    ['continued', 'running', /^The migration runs; no worker answers/],
  ])('%s is reported as %s', (name, status, summary) => {
    const report = reportOf(name);
    expect(report).toMatchObject({ status, summary: expect.stringMatching(summary) as unknown });
    for (const format of ['md', 'json', 'html'] as const) {
      expect(render(report, format).length).toBeGreaterThan(300);
    }
    for (const { seconds } of report.phases) expect(seconds).toBeGreaterThanOrEqual(0);
  });

  test('shows what moved, each phase, each cutover with its steps, and why it was undone', () => {
    const report = reportOf('done-after-many-detours');
    expect(report.moved).toMatchObject({ tables: 3, copiedRows: 600, rows: null, sequences: 5 });
    expect(report.phases.map(({ phase }) => phase)).toEqual([
      ...['preflight', 'schema', 'snapshot', 'indexes', 'stream', 'cutover'],
    ]);
    // Without a gap and in order.
    for (const [at, { to }] of report.phases.entries()) {
      expect(to).toBe(report.phases[at + 1]?.from ?? report.ended);
    }
    const [undone, done] = report.cutovers;
    expect(undone?.end).toMatchObject({
      how: 'undone',
      reason: expect.stringContaining('public.orders changed after the end mark') as unknown,
    });
    expect(done?.end?.how).toBe('done');
    expect(done?.steps.map(({ step }) => step)).toEqual(
      expect.arrayContaining(['write end mark', 'set sequences', 'check for late writes']),
    );
    // With `compare: off` nothing is counted.
    expect(done?.steps.map(({ step }) => step)).not.toContain('compare row counts');
  });

  test('shows failed steps, and what was created and removed', () => {
    const { faults, changes, requests } = reportOf('done-after-many-detours');
    expect(faults.list.map(({ step, what }) => `${step} ${what}`)).toEqual(
      expect.arrayContaining(['copy failed', 'stream failed']),
    );
    expect(changes.map(({ undone }) => undone === null)).toEqual([false, false, false]);
    expect(requests.map(({ name }) => name)).toEqual([
      ...['resume', 'resume', 'pause', 'resume', 'cutover', 'cutover'],
    ]);
    const kept = reportOf('done-with-kept-slot').changes.find(({ what }) => what.includes('slot'));
    expect(kept).toMatchObject({ made: expect.any(String) as unknown, undone: null });
  });

  test('that continued as new says that earlier runs are missing, and starts where they did', () => {
    const run = recorded('continued');
    const report = buildReport(known(run, { complete: false }));
    expect(run.continues).not.toBe('');
    // The identity of the migration is its first run, whichever runs are left.
    expect(report.runId).toBe(run.firstRunId);
    expect(run.firstRunId).not.toBe(run.runId);
    expect(report.histories).toEqual({ read: 1, complete: false });
    expect(Date.parse(report.began)).toBeLessThan(Date.parse(run.startedAt));
    expect(report.phases[0]?.phase).toBe('preflight');
    expect(report.moved?.copiedRows).toBe(600);
    expect(markdownOf(report)).toContain('the Temporal server has removed earlier ones');
  });

  test('can be reported at any moment of its course', () => {
    const { length } = recorded('cancelled-cutover').activities;
    for (let events = 1; events <= 218; events += 1) {
      const run = recorded('cancelled-cutover', events);
      expect(run.activities.length).toBeLessThanOrEqual(length);
      const report = buildReport(known(run));
      expect(report.status).toBe(events === 218 ? 'done' : 'running');
      expect(markdownOf(report)).toContain('## Left behind');
    }
  });
});

test.each(['md', 'json', 'html'] as const)('the printed example is current: %s', async (format) => {
  const text = render(reportOf('cancelled-cutover'), format);
  await expect(text).toMatchFileSnapshot(path.join(EXAMPLES, `cancelled-cutover.${format}`));
});

describe('a stored record', () => {
  const record: MigrationRecord = {
    ...NO_COURSE,
    startedAt: { preflight: '2026-11-27T09:00:00.000Z', stream: '2026-11-27T10:00:00.000Z' },
    lag: [
      { at: '2026-11-27T10:01:00.000Z', bytes: 4_000, seconds: 2 },
      { at: '2026-11-27T10:02:00.000Z', bytes: 100, seconds: 0 },
    ],
    cutovers: [
      {
        at: '2026-11-27T10:03:00.000Z',
        steps: [{ step: 'drain', at: '2026-11-27T10:03:01.000Z' }],
        end: { at: '2026-11-27T10:03:09.000Z', how: 'done' },
      },
    ],
    stops: [{ at: '2026-11-27T09:30:00.000Z', step: 'snapshot', code: 'Denied' }],
    resyncs: 1,
    approvals: [{ name: 'Ada', note: 'change 4711', at: '2026-11-27T10:02:30.000Z' }],
    leftBehind: [],
  };
  const finished = (change: Partial<RunHistory>): Report =>
    buildReport(known({ ...recorded('done'), ...change }));

  test('of a result counts, not what the history would suggest', () => {
    const { result } = recorded('done');
    const report = finished({ result: { ...(result as object), record, downtimeSeconds: 4.25 } });
    expect(report).toMatchObject({
      ...{ began: '2026-11-27T09:00:00.000Z', lag: record.lag, stops: record.stops },
      ...{ resyncs: 1, approvals: record.approvals, leftBehind: [], downtimeSeconds: 4.25 },
      cutovers: [{ seconds: 9 }],
    });
    const text = markdownOf(report);
    expect(text).toContain('Write downtime, as the cutover measured it: 4.3 s.');
    expect(text).toContain('| Ada | change 4711 | none |');
    expect(text).toMatch(/## Left behind\n\nNothing\./);
  });

  test('has settings and rights that fences changed, with times, and the SQL of those that are still changed; and ended sessions', () => {
    const [cutover] = record.cutovers;
    const fenceChanges = [
      {
        ...{ side: 'source', what: 'CONNECT on the database', changed: '2026-11-27T10:03:01.000Z' },
        restored: '2026-11-27T10:03:08.000Z',
      },
      {
        ...{ side: 'source', what: 'rights of app: INSERT on public.a' },
        ...{ undo: 'grant INSERT on table a to app', changed: '2026-11-27T10:03:02.000Z' },
      },
    ] as const;
    const more = {
      fenceChanges,
      cutovers: [{ ...cutover, stoppedAt: cutover?.at, stoppedSeconds: 2, endedSessions: 3 }],
    };
    const { result } = recorded('done');
    const report = finished({ result: { ...(result as object), record: { ...record, ...more } } });
    expect(report.changes).toEqual(
      expect.arrayContaining([
        {
          what: 'rights of app: INSERT on public.a, on "orders_old"',
          ...{ made: '2026-11-27T10:03:02.000Z', undone: null },
          undo: 'grant INSERT on table a to app',
        },
      ]),
    );
    const text = markdownOf(report);
    expect(text).toContain(
      '| CONNECT on the database, on "orders_old" | 2026-11-27 10:03:01 UTC | 2026-11-27 10:03:08 UTC |',
    );
    expect(text).toContain(
      '- rights of app: INSERT on public.a, on "orders_old": grant INSERT on table a to app',
    );
    expect(text).toContain('Sessions that wrote too long were ended: 3.');
    expect(htmlOf(report)).toContain('grant INSERT on table a to app');
  });

  test('of a failure is in its details, and what was left behind is named', () => {
    const left = { ...record, leftBehind: ['the slot is kept; drop it: psql …'] };
    const failure = {
      ...{ message: 'aborted by the operator', type: 'Aborted', timedOut: false },
      details: { record: left },
    };
    const report = finished({ end: 'failed', result: undefined, failure });
    expect(report).toMatchObject({ status: 'aborted', leftBehind: left.leftBehind });
    expect(markdownOf(report)).toContain('- the slot is kept; drop it: psql …');
  });

  test('that is not one is ignored: another version may have written it', () => {
    const { result } = recorded('done');
    const report = finished({ result: { ...(result as object), record: { lag: 'much' } } });
    expect(report).toMatchObject({ status: 'done', leftBehind: null });
  });
});

describe('without a record, as of a terminated or cancelled migration,', () => {
  const run = recorded('cancelled-cutover', 150);

  test('what the history shows as not removed is named, with the command', () => {
    const terminated = buildReport(known({ ...run, end: 'terminated' }));
    expect(terminated.status).toBe('terminated');
    expect(terminated.leftBehind).toEqual([
      'replication slot on "orders_old"',
      'control schema walferry on "orders_new"',
      'triggers and rules on "orders_new" disabled',
      `Remove it with: walferry cleanup orders_old orders_new --workflow-id ${run.workflowId}`,
    ]);
  });

  test('a cancelled one has removed everything, or it would have failed', () => {
    const cancelled = reportOf('cancelled-in-the-copy');
    expect(cancelled).toMatchObject({ status: 'cancelled', leftBehind: [] });
  });

  test('approvals and the time without writes come from the history, also of a cutover that began in its window', () => {
    const [first] = run.activities;
    if (!first) throw new Error('no activity');
    const at = (second: number) => `2026-11-27T20:00:0${second}.000Z`;
    const step = (type: string, from: number, to: number, result: unknown = {}) => ({
      ...{ ...first, type, scheduledAt: at(from), endedAt: at(to), result },
    });
    const update = (name: string, from: number, answer: string, args: unknown[] = []) => ({
      ...{ name, args, at: at(from), endedAt: at(from), ok: true, answer },
    });
    const report = buildReport(
      known({
        ...run,
        end: 'terminated',
        updates: [
          update('approve', 1, 'Approved by Ada.', [{ name: 'Ada', note: 'change 4711' }]),
          update('cutover', 2, 'Cutover asked for: it waits for its window.'),
        ],
        activities: [
          ...[...run.activities, step('armCutover', 4, 5)],
          step('undoCutover', 6, 7, { decided: 'undone', releaseLsn: null, downtimeMs: null }),
        ],
      }),
    );
    expect(report.approvals).toEqual([{ name: 'Ada', note: 'change 4711', at: at(1) }]);
    expect(report.cutovers).toMatchObject([{ stoppedAt: at(4), stoppedSeconds: 3 }]);
    expect(markdownOf(report)).toContain(
      'walferry stopped the writes once, for at most 3.0 s in total.',
    );
  });
});

test('writes that came back at the deadline count until then, also while the undo waits for the target, and a sum of such times says at most', () => {
  const run = recorded('cancelled-cutover', 150);
  const cutover = { at: '2026-11-27T10:00:00.000Z', steps: [] };
  const stoppedAt = '2026-11-27T10:00:01.000Z';
  const record = (...cutovers: MigrationRecord['cutovers'][number][]): MigrationRecord => ({
    ...NO_COURSE,
    ...{ startedAt: { preflight: '2026-11-27T09:00:00.000Z' }, cutovers },
  });
  const waiting = { ...cutover, stoppedAt, returnsBy: '2026-11-27T10:00:34.000Z' };
  const shown = (now: string) => buildReport(known(run, { now, record: record(waiting) }));
  const before = shown('2026-11-27T10:00:20.000Z');
  expect(markdownOf(before)).toContain('Writes are stopped since 2026-11-27 10:00:01 UTC.');
  const after = shown('2026-11-27T18:00:00.000Z');
  expect(after.cutovers).toMatchObject([{ stoppedSeconds: 33 }]);
  expect(markdownOf(after)).toContain(
    'walferry stopped the writes once, for at most 33 s in total.',
  );
  expect(markdownOf(after)).toContain('Writes were stopped for 33 s at most.');
  const end = { at: '2026-11-27T10:00:09.000Z', how: 'done' } as const;
  const measured = { ...cutover, stoppedAt, stoppedSeconds: 3, end };
  const total = (...cutovers: MigrationRecord['cutovers'][number][]) =>
    /walferry stopped .* in total\./.exec(
      markdownOf(buildReport(known(run, { record: record(...cutovers) }))),
    )?.[0];
  expect(total(measured)).toBe('walferry stopped the writes once, for 3.0 s in total.');
  expect(total(measured, { ...measured, kind: 'rehearsal' })).toBe(
    'walferry stopped the writes 2 times, for at most 6.0 s in total.',
  );
});

test('from a history, writes that came back at the deadline count until then, unless a seal was tried or rights were revoked', () => {
  const run = recorded('cancelled-cutover', 150);
  const [first] = run.activities;
  if (!first) throw new Error('no activity');
  const at = (second: number) =>
    new Date(Date.parse('2026-11-27T20:00:00.000Z') + second * 1000).toISOString();
  const step = (type: string, from: number, to: number, input: unknown, result: unknown = {}) => ({
    ...{ ...first, type, input, result, end: 'completed' as const },
    ...{ scheduledAt: at(from), endedAt: at(to) },
  });
  const arm = (more: object) =>
    step('armCutover', 1, 4, { input: more, box: { milliseconds: 30_000 } });
  const undo = step('undoCutover', 20, 28_801, {}, { decided: 'undone', downtimeMs: null });
  const stopped = (...steps: (typeof undo)[]) => {
    const activities = [...run.activities, ...steps];
    const ended = { ...run, end: 'terminated' as const, updates: [], activities };
    return buildReport(known(ended)).cutovers[0]?.stoppedSeconds;
  };
  const trigger = arm({ fence: 'trigger' });
  expect(stopped(trigger, undo)).toBe(33);
  expect(stopped(trigger)).toBe(33);
  expect(stopped(trigger, step('sealCutover', 10, 11, {}), undo)).toBe(28_800);
  expect(stopped(arm({ fence: 'roles' }), undo)).toBe(28_800);
  const extras = arm({ fence: 'trigger', fenceExtras: { connect: true, endSessions: false } });
  expect(stopped(extras, undo)).toBe(28_800);
  expect(stopped(arm({ fence: 'roles' }))).toBeUndefined();
});

test('of a terminated migration, what its fence has changed and not given back comes from the steps of its last run', () => {
  const run = recorded('cancelled-cutover', 150);
  const [first] = run.activities;
  if (!first) throw new Error('no activity');
  const rights = { what: 'rights of app: INSERT on public.a', undo: 'grant INSERT on a to app' };
  const limit = { what: 'connection limit of the database', undo: 'x', extra: true };
  const at = (second: number) => `2026-11-27T20:00:0${second}.000Z`;
  const step = (type: string, from: number, result: unknown, input: unknown = {}) => ({
    ...{ ...first, type, input, result, end: 'completed' as const },
    ...{ scheduledAt: at(from), endedAt: at(from + 1) },
  });
  const prepared = step('prepareCutover', 0, { switched: null, changes: [rights, limit] });
  const armed = step('armCutover', 2, {});
  const undone = step('undoCutover', 4, { decided: 'undone', downtimeMs: null });
  const looked = step('lookAtSource', 4, { sealedAgain: false, late: [], changes: [rights] });
  const opened = step('settleOld', 6, { left: [], statement: null }, { oldDatabase: 'open' });
  const rehearsed = step('armCutover', 2, {}, { box: { rehearsal: true } });
  const changesAfter = (...steps: (typeof armed)[]) => {
    const activities = [...run.activities, ...steps];
    const report = buildReport(known({ ...run, end: 'terminated', activities }));
    return report.changes
      .filter(({ what }) => what.includes('app') || what.includes('limit'))
      .map(({ what, made, undone: back }) => [what.split(' ')[0], made, back]);
  };
  expect(changesAfter(prepared)).toEqual([]);
  expect(changesAfter(prepared, armed)).toEqual([
    ['rights', at(2), null],
    ['connection', at(2), null],
  ]);
  expect(changesAfter(prepared, rehearsed, undone)).toEqual([['rights', at(2), at(5)]]);
  expect(changesAfter(prepared, armed, looked)).toEqual([
    ['connection', at(2), at(5)],
    ['rights', at(2), null],
  ]);
  expect(changesAfter(prepared, armed, looked, opened)).toEqual([
    ['connection', at(2), at(5)],
    ['rights', at(2), at(7)],
  ]);
});

describe('what later code reports', () => {
  test('is shown when it is there: verifications, accepted findings, the window', () => {
    const run = recorded('done');
    const [first] = run.activities;
    if (!first) throw new Error('no activity');
    const differing = [{ table: 'public.orders', keys: 3, more: false }];
    const verified = {
      ...{ ...first, type: 'concludeVerification', endedAt: '2026-11-27T12:00:00.000Z' },
      result: {
        ...{ result: 'different', tables: 3, rows: 600, seconds: 2, lsn: '0/10' },
        differing,
      },
    };
    const warned = {
      ...{ ...first, type: 'preflight' },
      result: [{ level: 'warning', code: 'age', message: 'old', action: 'x' }],
    };
    const switched = { ...first, type: 'switchCutover', result: { downtimeMs: 2_345 } };
    const armed = { ...first, type: 'armCutover' };
    const cutover = {
      ...{ name: 'cutover', args: [{ accept: ['slot-health'] }], at: first.scheduledAt, ok: true },
    };
    const report = buildReport(
      known({
        ...run,
        activities: [...run.activities, verified, warned, armed, switched],
        updates: [...run.updates, cutover],
      }),
    );
    expect(report.verifications).toMatchObject([{ result: 'different', rows: 600, lsn: '0/10' }]);
    expect(report.downtimeSeconds).toBe(2.345);
    expect(report.changes.find(({ what }) => what.startsWith('fence'))?.undone).toBeNull();
    expect(report.accepted).toEqual([
      'preflight warned [age]: old',
      'cutover accepted slot-health',
    ]);
    const text = markdownOf(report);
    expect(text).toContain('public.orders: 3');
    expect(text).toContain('- cutover accepted slot-health');
  });

  test('lost and restarted workers are counted from the attempts that a history shows', () => {
    const run = recorded('done');
    const [first] = run.activities;
    if (!first) throw new Error('no activity');
    const failed = (type: string, timedOut: boolean, attempts: number) => ({
      ...{ ...first, type: 'streamChanges', attempts, worker: `${attempts}@host` },
      failure: { message: 'gone', type, timedOut, details: undefined },
    });
    const activities = [
      ...[failed('', true, 3), failed('WorkerShutdown', false, 2), failed('WorkerFull', false, 9)],
      ...[failed('Unreachable', false, 5)],
    ];
    const { faults } = buildReport(known({ ...run, activities }));
    expect(faults).toMatchObject({ retries: 7, lost: 1, workers: 4, more: 0 });
    expect(faults.list.map(({ what }) => what)).toEqual([
      ...['worker lost', 'worker shut down', 'retried'],
    ]);
  });
});

describe('nothing in a text becomes markup', () => {
  const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(1)> [a](javascript:b) | \`c\` *d* & e\n# f`;
  const base = reportOf('done');
  const report: Report = {
    ...{ ...base, workflowId: evil, source: evil, target: evil, summary: evil, leftOut: [evil] },
    ...{ accepted: [evil], leftBehind: [evil], status: 'done' },
    approvals: [{ name: evil, note: evil, at: NOW }],
    requests: [{ at: NOW, name: evil, answer: evil }],
    stops: [{ at: NOW, step: evil, code: evil }],
    verifications: [{ result: evil, at: NOW, lsn: evil, differing: [{ table: evil, keys: 1 }] }],
    cutovers: [
      {
        ...{ at: NOW, seconds: 1, steps: [{ step: evil, at: NOW }] },
        end: { at: NOW, how: 'undone', code: evil, reason: evil },
      },
    ],
    faults: {
      ...base.faults,
      list: [{ at: NOW, step: evil, attempts: 2, what: 'retried', reason: evil }],
    },
    changes: [{ what: evil, made: NOW, undone: null }],
  };

  test('of HTML', () => {
    const html = htmlOf(report);
    const tags = new Set([...html.matchAll(/<\/?([a-zA-Z][\w-]*)/g)].map(([, tag]) => tag));
    const ours = ['html', 'head', 'meta', 'title', 'style', 'body', 'h1', 'h2', 'p', 'ul', 'li'];
    const tables = ['div', 'table', 'thead', 'tbody', 'tr', 'th', 'td'];
    const chart = ['svg', 'polyline', 'circle', 'text', 'line'];
    expect([...tags].filter((tag) => ![...ours, ...tables, ...chart].includes(tag ?? ''))).toEqual(
      [],
    );
    expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&gt;');
  });

  test('of Markdown', () => {
    const text = markdownOf(report);
    expect(text).not.toMatch(/(?<!\\)<script/);
    expect(text).not.toMatch(/(?<!\\)\[a(?<!\\)\]\(/);
    expect(text.split('\n').filter((line) => line.startsWith('# '))).toHaveLength(1);
    for (const line of text.split('\n').filter((one) => one.startsWith('| Ada'))) {
      expect(line.split(/(?<!\\)\|/)).toHaveLength(6);
    }
  });
});

test('the HTML loads nothing: no script, no link, no address', () => {
  const html = htmlOf(reportOf('cancelled-cutover'));
  expect(html).not.toMatch(
    /<(?:script|link|img|iframe|object|embed|base)\b|@import|url\(|\bsrc=|\bhref=/i,
  );
  expect(html).not.toMatch(/https?:/);
  expect(html).toContain(`default-src 'none'`);
});

describe('the chart of the lag', () => {
  test('has a point for every sample, within its frame, and says their values', () => {
    const samples = Array.from({ length: 50 }, (_, at) => ({
      ...{ at: new Date(Date.parse(NOW) + at * 60_000).toISOString(), bytes: (at * 7919) % 5_000 },
      seconds: at % 3,
    }));
    const svg = lagChart(samples);
    const points = [...svg.matchAll(/<circle class="dot" cx="([\d.]+)" cy="([\d.]+)"/g)];
    expect(points).toHaveLength(50);
    for (const [, x, y] of points) {
      expect(Number(x)).toBeGreaterThanOrEqual(70);
      expect(Number(x)).toBeLessThanOrEqual(748);
      expect(Number(y)).toBeGreaterThanOrEqual(12);
      expect(Number(y)).toBeLessThanOrEqual(192);
    }
    const highest = samples.reduce((a, b) => (b.bytes > a.bytes ? b : a));
    const top = points.reduce((a, b) => (Number(b[2]) < Number(a[2]) ? b : a));
    expect(points.indexOf(top)).toBe(samples.indexOf(highest));
    expect(svg).toContain('<title>2026-11-28 00:00:00 UTC: 0 B, 0.0 s</title>');
  });

  test('of one sample, or without lag, is drawn; of none it is empty', () => {
    expect(lagChart([])).toBe('');
    expect(lagChart([{ at: NOW, bytes: 0, seconds: 0 }])).not.toContain('NaN');
  });
});
