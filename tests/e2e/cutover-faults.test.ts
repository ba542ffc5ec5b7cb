/**
 * Kills, freezes and restarts at every durable step of a cutover, before and after it. Each ends in exactly one of switched or undone,
 * and the application's ledger shows that no write was lost or went to both sides. A few cases run always;
 * `WALFERRY_PROVE_FAULTS=all` runs every point with every fault.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { CUTOVER_POINTS, type CutoverPoint } from '../../postgres/apply/failpoint.ts';
import { connectTo } from '../support/database.ts';
import { FAULTS, hasStopped, meet, type Fault } from '../support/fault.ts';
import { Lab } from '../support/lab.ts';
import { Ledger, LEDGER_TABLE } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const ALWAYS: readonly (readonly [CutoverPoint, Fault])[] = [
  ['after-seal', 'kill'],
  ['before-release-commit', 'freeze'],
  ['after-release', 'target'],
  ['after-undo', 'kill'],
];
const EVERY = CUTOVER_POINTS.flatMap((point) => FAULTS.map((fault) => [point, fault] as const));
const CASES = process.env['WALFERRY_PROVE_FAULTS'] === 'all' ? EVERY : ALWAYS;

/** What a fault costs on a slow machine must not decide the outcome; the deadline has its own tests. */
const BOX_SECONDS = 90;
/** For the points of an undo: a writer that does not end makes the cutover undo itself. */
const SHORT_BOX_SECONDS = 15;

test.each(CASES)(
  'at %s, %s: one outcome, and no write is lost or on both sides',
  async (at, fault) => {
    const undoes = at.includes('undo') || at === 'after-open';
    await using lab = await Lab.open(LEDGER_TABLE);
    const first = await lab.worker({
      env: { WALFERRY_FAILPOINT: fault === 'kill' ? at : `${at} freeze` },
    });
    await lab.start({ fence: 'trigger' });
    await lab.phase('stream');
    const ledger = new Ledger(lab.pair);
    await until('some rows', () => ledger.on('source') > 50);
    await using blocker = await connectTo(lab.pair.source);
    blocker.on('error', () => undefined);

    const maxDowntimeSeconds = undoes ? SHORT_BOX_SECONDS : BOX_SECONDS;
    const cutover = lab.update('cutover', { maxDowntimeSeconds });
    if (undoes) {
      // Not before: an open writer also keeps the fence from being installed.
      await until('the fence', async () => (await lab.onSource(FENCE)).length > 0);
      await blocker.query(/* sql */ `begin; insert into ledger values (-1, 0, 'source')`);
    }
    // A cutover that ended before says why.
    const ended = cutover.then(({ stdout, stderr }) => {
      if (!hasStopped(first)) throw new Error(stdout + stderr);
    });
    const stopped = until(`the worker to stop at ${at}`, () => hasStopped(first), { seconds: 120 });
    await Promise.race([stopped, ended]);
    await meet(fault, first, lab);
    const answer = await cutover;
    await blocker.query('rollback').catch(() => undefined);
    if (fault === 'freeze') first.thaw();

    const switched = answer.code === 0;
    expect(switched, answer.stderr + answer.stdout).toBe(!undoes);
    if (undoes) {
      const before = ledger.on('source');
      await until('writes on the source', () => ledger.on('source') > before + 10);
    } else {
      await until('writes on the target', () => ledger.on('target') > 10);
    }
    // What the process that woke up still does.
    await sleep(fault === 'freeze' ? 3_000 : 0);
    await ledger.stop();
    if (undoes) await lab.finish();
    expect(await ledger.check(switched || undoes ? 'target' : 'source')).toEqual([]);
  },
);

const FENCE = /* sql */ `
  select from pg_trigger where tgrelid = 'public.ledger'::regclass and tgname like '~walferry_fence%'`;
