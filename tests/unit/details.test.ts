/** Current Details of the Web UI, and the numbers in them. */
import { describe, expect, it } from 'vitest';
import { parseLsn } from '../../contract/lsn.ts';
import type { IndexCounters, Progress } from '../../contract/progress.ts';
import { renderDetails } from '../../workflows/details.ts';
import { ALL_STAGES, STAGES } from '../../workflows/state/stage.ts';
import { bytes, count, counted, duration, percent } from '../../workflows/wording.ts';

const streaming: Progress = {
  phase: 'stream',
  state: 'running',
  waiting: null,
  source: 'orders_old',
  target: 'orders_new',
  slot: 'walferry_orders_0123456789abcdef',
  confirmedLsn: parseLsn('16/B374D848'),
  snapshot: {
    ...{ pass: 2, tables: 12, chunksDone: 48, chunksTotal: 48, rows: 3_000_000 },
    ...{ bytes: 240_000_000, estimatedRows: 3_000_000, estimatedBytes: 240_000_000 },
  },
  stream: {
    transactions: 1234,
    changes: 5678,
    lagBytes: 1234,
    lagSeconds: 0.84,
    rate: 1200,
    leases: 3,
  },
  startedAt: { preflight: '2026-11-21T09:00:00.000Z' },
  asOf: '2026-11-21T09:41:07.123Z',
};
const waiting = {
  ...({ step: 'stream', code: 'RowMissing', reason: 'table t, LSN 0/1' } as const),
  action: 'Put the row back, then resume.',
};

const cuttingOver: Progress = {
  ...streaming,
  phase: 'cutover',
  cutover: {
    ...{ step: 'drain to 16/B374D900', since: '2026-11-21T09:41:08.000Z' },
    failing: {
      code: 'Unreachable',
      reason: 'stream: the database did not answer (ECONNREFUSED)',
      action: 'Look at the server.',
      since: '2026-11-21T09:41:12.000Z',
      seen: '2026-11-21T09:45:12.000Z',
    },
  },
};

const RUNNING = { snapshot: 'copying', indexes: 'indexing', stream: 'streaming' } as const;

/** Lines inside the code block. */
function codeLines(details: string): string[] {
  return (/```\n([\s\S]*?)```/.exec(details)?.[1] ?? '').split('\n').filter(Boolean);
}

describe('current details', () => {
  it('while writes are stopped are about that, and nothing that led to it', () => {
    const approvals = [{ name: 'Ada', note: '', at: '2026-11-21T09:41:00.000Z' }];
    const box = {
      ...{
        cutover: 'm/1',
        since: '2026-11-21T09:41:08.000Z',
        deadline: '2026-11-21T09:46:08.000Z',
      },
      spent: [{ step: 'stop the writes', seconds: 0.4 }],
    };
    const built = { indexesBuilt: 9, indexesTotal: 9, tablesAnalyzed: 5 };
    const indexes = { ...built, constraintsBuilt: 3, constraintsTotal: 3 };
    const asked = { ...cuttingOver, box, indexes, approval: 'given', approvals } as const;
    for (const [phase, title] of [
      ['cutover', 'Cutover'],
      ['reverse', 'Switch back'],
    ] as const) {
      const lines = renderDetails('orders', { ...asked, phase }, 'fenced').split('\n');
      expect(lines[0]).toBe(`## ${title}: writes are stopped`);
      expect(lines[3]).toMatch(
        /^- \*\*writes are stopped\*\* since 2026-11-21 09:41:08 UTC; .* 09:46:08 UTC$/,
      );
      expect(lines[4]).toBe('- steps so far: stop the writes 0.4 s');
      expect(lines.filter((line) => /^- (?:copied|built|cutover approved)/.test(line))).toEqual([]);
    }
  });

  it('after the deadline of a fence that was not sealed do not say that writes are stopped', () => {
    const failing = {
      ...({ code: 'OutcomeUnknown', reason: 'ECONNREFUSED', action: 'Bring it back.' } as const),
      ...{ since: '2026-11-21T09:41:20.000Z', seen: '2026-11-21T17:41:12.000Z' },
    };
    const cutover = { step: 'undo the cutover', since: '2026-11-21T09:41:18.000Z', failing };
    const at = (phase: 'cutover' | 'reverse', seen: string, ...steps: string[]): string[] => {
      const box = {
        ...{ cutover: 'm/1', since: '2026-11-21T09:41:08.000Z' },
        deadline: '2026-11-21T09:41:38.000Z',
        spent: steps.map((step) => ({ step, seconds: 1 })),
      };
      const now = { ...cutover, failing: { ...failing, seen } };
      const progress = { ...cuttingOver, phase, box, cutover: now };
      return renderDetails('orders', progress, 'fenced').split('\n');
    };
    const before = at('cutover', '2026-11-21T09:41:37.000Z', 'stop the writes');
    expect(before[0]).toBe('## Cutover: writes are stopped');
    const after = at('cutover', failing.seen, 'stop the writes');
    expect(after[0]).toBe('## Cutover: writes are back, waiting to undo it');
    expect(after[3]).toBe(
      '- **writes came back by themselves** at 2026-11-21 09:41:38 UTC by the clock of "orders_old"; they were stopped since 2026-11-21 09:41:08 UTC',
    );
    expect(after[4]).toBe('- what is left is to undo the cutover, which needs "orders_new"');
    expect(after.join('\n')).not.toContain('writes are stopped');
    const back = at('reverse', failing.seen, 'stop the writes');
    expect(back[0]).toBe('## Switch back: writes are back, waiting to undo it');
    expect(back[3]).toContain('by the clock of "orders_new"');
    expect(back[4]).toBe('- what is left is to undo the switch back, which needs "orders_old"');
    // An answer that was lost may have been that of a seal, which has no end.
    const maybe = at('cutover', failing.seen, 'stop the writes', 'seal the source');
    expect(maybe[0]).toBe('## Cutover: writes may be stopped');
    expect(maybe[3]).toBe(
      '- **writes may be stopped** since 2026-11-21 09:41:08 UTC: they came back by themselves at 2026-11-21 09:41:38 UTC unless "orders_old" was sealed before',
    );
  });

  it('name the step of a cutover that keeps failing, why, since when, and how to cancel it', () => {
    const details = renderDetails('orders', cuttingOver, 'cuttingOver');
    expect(details).toContain(
      '- step **drain to 16/B374D900** since 2026-11-21 09:41:08 UTC, failing since 2026-11-21 09:41:12 UTC (last seen 2026-11-21 09:45:12 UTC): stream: the database did not answer (ECONNREFUSED) (`Unreachable`)',
    );
    expect(details).toContain('- **what to do:** Look at the server.');
    expect(codeLines(details)).toEqual([
      '# cancel the cutover; the stream stays paused until resume',
      'temporal workflow update execute -w orders --name pause',
      '# end it; what was copied stays, complete or not',
      'temporal workflow update execute -w orders --name abort',
    ]);
  });

  it('count the tables per state, and name those that are not ready with the reason, ten at most', () => {
    const unready = [
      { table: 'public.orders', state: 'resync', reason: 'was recreated on the source' } as const,
      { table: 'public.items', state: 'copying' } as const,
    ];
    const tables = { pending: 11, copying: 1, ready: 1200, resync: 1, dropped: 2 };
    const details = renderDetails('orders', { ...streaming, tables, unready }, 'streaming');
    expect(details).toContain(
      '- tables: 11 pending, 1 copying, 1,200 ready, 1 resync, 2 dropped\n\n### Tables that are not ready\n\n- `public.orders` resync: was recreated on the source\n- `public.items` copying\n- and 11 more\n',
    );
    const ready = renderDetails(
      'orders',
      { ...streaming, tables: { ready: 12 }, unready: [] },
      'streaming',
    );
    expect(ready).toContain('- tables: 12 ready\n');
    expect(ready).not.toContain('not ready');
  });

  it('show since when the migration waits for a free worker place, and what to do', () => {
    const placeWait = {
      since: '2026-11-21T09:41:08.000Z',
      reason: 'a worker has no free place for open migrations: 2 of 2 in use (--max-activities)',
    };
    const details = renderDetails('orders', { ...streaming, placeWait }, 'streaming');
    expect(details).toContain(
      `- waiting for a free worker place since 2026-11-21 09:41:08 UTC: ${placeWait.reason}`,
    );
    expect(details).toContain('- **what to do:** Start another worker, or raise the named option');
  });

  it('show phase, numbers, their time, and the next commands', () => {
    expect(renderDetails('orders', streaming, 'streaming')).toMatchInlineSnapshot(`
      "## Stream: applying changes as they commit

      - from **orders_old** to **orders_new**
      - copied 48 of 48 chunks (100 %): 3,000,000 rows, 240.0 MB, 12 tables
      - pass 2
      - confirmed \`16/B374D848\`: everything committed before it is on the target
      - applied 1,234 transactions, 5,678 changes; 1,200 changes/s
      - lag 1.2 kB, 0.8 s; 3 leases
      - slot \`walferry_orders_0123456789abcdef\`
      - as of 2026-11-21 09:41:07 UTC; live numbers are under Pending Activities

      ### What you can do now

      \`\`\`
      # stop at a commit; the slot retains the WAL
      temporal workflow update execute -w orders --name pause
      # compare every row, while it streams
      temporal workflow update execute -w orders --name verify
      # finish; without a fence, stop the writers first
      temporal workflow update execute -w orders --name cutover
      # end it; what was copied stays, complete or not
      temporal workflow update execute -w orders --name abort
      \`\`\`"
    `);
  });

  it('show why it waits and what to do, and offer resume instead of pause', () => {
    const details = renderDetails(
      'orders',
      { ...streaming, state: 'waiting', waiting },
      'streamWaiting',
    );
    expect(details).toMatch(/^## Waiting for the operator\n/);
    expect(details).toContain('- step **stream** stopped: table t, LSN 0/1 (`RowMissing`)');
    expect(details).toContain('- **what to do:** Put the row back, then resume.');
    expect(codeLines(details).filter((line) => line.includes('--name'))).toEqual([
      'temporal workflow update execute -w orders --name resume',
      'temporal workflow update execute -w orders --name abort',
    ]);
  });

  it('count what is built after the rows, as far as a step reported it', () => {
    const indexes = {
      ...{ indexesBuilt: null, indexesTotal: 14, tablesAnalyzed: null },
      ...{ constraintsBuilt: null, constraintsTotal: 1 },
    };
    const at = (phase: 'snapshot' | 'indexes' | 'stream', reported: Partial<IndexCounters> = {}) =>
      renderDetails(
        'o',
        { ...streaming, phase, indexes: { ...indexes, ...reported } },
        RUNNING[phase],
      );
    expect(at('snapshot')).not.toContain('to build');
    expect(at('indexes')).toContain(
      '- 14 indexes and keys to build, 1 constraint or trigger to build\n',
    );
    const done = { indexesBuilt: 13, tablesAnalyzed: 5, constraintsBuilt: 1 };
    expect(at('stream', done)).toContain(
      '- built 13 of 14 indexes and keys, analyzed 5 tables, built 1 of 1 constraint or trigger\n',
    );
    const unknown = { indexesTotal: null, constraintsTotal: null };
    expect(at('indexes', unknown)).not.toMatch(/to build|^- $/m);
  });

  it('show limits, and the guard that holds the copy: which measure, value and ceiling, since when', () => {
    const limits = {
      ...{ copyStreams: 2, copyBytesPerSecond: 5_000_000, applyChangesPerSecond: 1000 },
      guard: 'on' as const,
    };
    const guard = {
      ...({ holding: true, measure: 'activeSessions', value: 63, ceiling: 50 } as const),
      since: '2026-11-21T09:41:07.123Z',
    };
    const copying: Progress = { ...streaming, phase: 'snapshot', limits, guard };
    const details = renderDetails('o', copying, 'copying');
    expect(details).toMatch(/^## Snapshot: copying rows \(held by the guard\)\n/);
    expect(details).toContain('- limits: copy 2 streams, 5.0 MB/s; apply 1,000 changes/s\n');
    expect(details).toContain(
      '- guard: activeSessions 63, ceiling 50: **the copy has been waiting** since 2026-11-21 09:41:07 UTC and continues automatically\n',
    );
    const failing = { ...guard, value: null, failing: { code: 'Internal', sqlstate: '42P01' } };
    expect(renderDetails('o', { ...copying, guard: failing }, 'copying')).toContain(
      'activeSessions cannot be measured (Internal, SQLSTATE 42P01): **the copy has been waiting**',
    );
    const free = { ...copying, guard: { ...guard, value: 9, holding: false } };
    expect(renderDetails('o', free, 'copying')).toMatch(
      /^## Snapshot: copying rows\n[^]*- guard: activeSessions 9, ceiling 50, since /,
    );
  });

  const ids = ['orders', 'a-workflow-id-that-is-as-long-as-people-make-them-2026', "it's odd; rm"];
  it.each(ALL_STAGES)('in stage %s fit into the Web UI', (at) => {
    const { phase } = STAGES[at];
    for (const id of ids) {
      const details = renderDetails(id, { ...streaming, phase }, at);
      expect(details.startsWith('## ')).toBe(true);
      // This UI shows no tables, and code lines end at about 63 characters.
      expect(details).not.toMatch(/^\s*\|/m);
      for (const line of codeLines(details)) expect(line.length).toBeLessThanOrEqual(63);
      expect(details).not.toMatch(/undefined|NaN|\[object/);
    }
  });

  it('quote a workflow id that a shell would split, and end long commands with backslashes', () => {
    const [odd, long] = [ids[2] ?? '', ids[1] ?? ''].map((id) =>
      codeLines(renderDetails(id, streaming, 'paused')).join('\n'),
    );
    expect(odd).toContain(`-w 'it'\\''s odd; rm'`);
    expect(long).toContain(
      `temporal workflow update execute \\\n  -w ${ids[1]} \\\n  --name resume`,
    );
  });

  it('are empty before anything is known, and show no command after the end', () => {
    const nothing = { ...streaming, snapshot: null, stream: null, confirmedLsn: null };
    expect(renderDetails('o', { ...nothing, phase: 'preflight' }, 'preflight')).not.toContain(
      'slot',
    );
    for (const phase of ['done', 'failed', 'aborted'] as const) {
      expect(renderDetails('o', { ...nothing, phase }, phase)).not.toContain('```');
    }
  });

  it('list the notes', () => {
    const details = renderDetails(
      'o',
      { ...streaming, notes: ['It is old. Upgrade it.'] },
      'streaming',
    );
    expect(details).toContain('### Notes\n\n- It is old. Upgrade it.');
  });
});

describe('numbers', () => {
  it.each([
    [count(0), '0'],
    [count(999), '999'],
    [count(1000), '1,000'],
    [count(1_234_567.8), '1,234,568'],
    [counted(1, 'table'), '1 table'],
    [counted(0, 'table'), '0 tables'],
    [bytes(0), '0 B'],
    [bytes(999), '999 B'],
    [bytes(1500), '1.5 kB'],
    [bytes(2_500_000_000_000_000_000), '2500.0 PB'],
    [duration(0.84), '0.8 s'],
    [duration(59.6), '1 min 0 s'],
    [duration(725), '12 min 5 s'],
    [duration(11_040), '3 h 4 min'],
    [percent(0, 0), '100 %'],
    [percent(999, 1000), '99 %'],
  ])('%s', (text, expected) => {
    expect(text).toBe(expected);
  });
});
