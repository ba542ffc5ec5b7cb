/**
 * The network is lost in the middle of a cutover, while worker and databases live: all packets to a database are swallowed, or only its
 * answers. The application reaches both all the time. One case runs always; `WALFERRY_PROVE_FAULTS=all` runs them all.
 */
import { expect, test } from 'vitest';
import type { CutoverPoint } from '../../postgres/apply/failpoint.ts';
import { sourceServer, targetServer } from '../support/database.ts';
import { hasStopped } from '../support/fault.ts';
import { Lab } from '../support/lab.ts';
import { Ledger, LEDGER_TABLE, type Side } from '../support/ledger.ts';
import { until } from '../support/until.ts';
import { wireTo } from '../support/wire.ts';

interface Case {
  readonly at: CutoverPoint;
  readonly lost: Side;
  /** Only the answers of the sessions that are open: what walferry has sent arrives. */
  readonly answers?: true;
  readonly ends: 'switched' | 'undone';
  /** Whether the source takes writes before the network is back. */
  readonly returns: boolean;
}

const ALWAYS: Case = {
  ...{ at: 'before-release-commit', lost: 'target', answers: true },
  ...{ ends: 'switched', returns: false },
};
const EVERY: readonly Case[] = [
  ALWAYS,
  { at: 'after-arm-mark', lost: 'source', ends: 'undone', returns: true },
  { at: 'after-arm-mark', lost: 'target', ends: 'undone', returns: true },
  { at: 'after-seal', lost: 'source', ends: 'undone', returns: false },
  { at: 'after-seal', lost: 'target', ends: 'undone', returns: false },
  { at: 'before-release-commit', lost: 'target', ends: 'undone', returns: false },
  { at: 'after-release', lost: 'target', ends: 'switched', returns: false },
  { at: 'after-release', lost: 'source', ends: 'switched', returns: false },
];
const CASES = process.env['WALFERRY_PROVE_FAULTS'] === 'all' ? EVERY : [ALWAYS];

/** Long enough for everything up to the release on a busy machine, and waited for once. */
const BOX_SECONDS = 45;

test.each(CASES)(
  'at $at the network to the $lost is lost: one outcome ($ends), and no write is lost or on both sides',
  async ({ at, lost, answers, ends, returns }) => {
    await using lab = await Lab.open(LEDGER_TABLE);
    await using source = await wireTo(sourceServer(), lab.pair.source);
    await using target = await wireTo(targetServer(), lab.pair.target);
    const wire = { source, target }[lost];
    const worker = await lab.worker({ env: { WALFERRY_FAILPOINT: `${at} freeze` } });
    await lab.start({ source: source.service, target: target.service, fence: 'trigger' });
    await lab.phase('stream');
    const ledger = new Ledger(lab.pair);
    await until('some rows', () => ledger.on('source') > 50);
    const cutover = lab.update('cutover', { maxDowntimeSeconds: BOX_SECONDS });
    const stopped = until(`the worker to stop at ${at}`, () => hasStopped(worker), {
      seconds: 120,
    });
    // A cutover that ended before says why.
    const ended = cutover.then(({ stdout, stderr }) => {
      if (!hasStopped(worker)) throw new Error(stdout + stderr);
    });
    await Promise.race([stopped, ended]);
    const before = ledger.on('source');
    if (answers) expect(wire.mute(/./s)).toBeGreaterThan(0);
    else wire.cut();
    worker.thaw();
    if (ends === 'undone') {
      await until(
        'the undo',
        async () => /^undo/.test((await lab.progress()).cutover?.step ?? ''),
        {
          seconds: BOX_SECONDS + 60,
        },
      );
      // The deadline is on the source: nothing of ours has to reach it.
      if (returns) await until('writes on the source', () => ledger.on('source') > before + 10);
      else expect(ledger.on('source')).toBeLessThanOrEqual(before + 3);
    }
    if (ends === 'undone' || at === 'after-release') wire.heal();
    const answer = await cutover;
    expect(answer.code === 0, answer.stderr + answer.stdout).toBe(ends === 'switched');
    const live: Side = ends === 'switched' ? 'target' : 'source';
    const then = ledger.on(live);
    await until(`writes on the ${live}`, () => ledger.on(live) > then + 10);
    await ledger.stop();
    expect(await ledger.check(live)).toEqual([]);
  },
);
