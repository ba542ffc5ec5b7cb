/**
 * Kills, freezes and restarts at every durable step of a switch back, and at the start of the way back. Each ends in exactly one of
 * switched back or undone, and the application's ledger shows that no write was lost or taken by both sides. A few cases run always;
 * `WALFERRY_PROVE_FAULTS=all` runs every point with every fault (`npm run prove -- switchback-faults`).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import {
  CUTOVER_POINTS,
  WAY_BACK_POINTS,
  type CutoverPoint,
  type WayBackPoint,
} from '../../postgres/apply/failpoint.ts';
import { connectTo, type FreshPair } from '../support/database.ts';
import { FAULTS, hasStopped, meet, type Fault } from '../support/fault.ts';
import { Lab } from '../support/lab.ts';
import { Ledger, LEDGER_TABLE } from '../support/ledger.ts';
import { until } from '../support/until.ts';
import type { WorkerProcess } from '../support/worker.ts';

type Point = CutoverPoint | WayBackPoint;
type Case = readonly [Point, Fault];

/** Of a way back that begins: the cutover to the new database meets them. */
const AT_THE_START: readonly Point[] = ['before-start-back', 'after-start-back'];
const BACK = [...CUTOVER_POINTS, ...WAY_BACK_POINTS].filter((one) => !AT_THE_START.includes(one));

const cases = (always: readonly Case[], points: readonly Point[]): readonly Case[] =>
  process.env['WALFERRY_PROVE_FAULTS'] === 'all'
    ? FAULTS.flatMap((fault) => points.map((point) => [point, fault] as const))
    : always;

/** What a fault costs on a slow machine must not decide the outcome. */
const BOX_SECONDS = 90;
/** For the points of an undo: a writer that does not end makes the switch back undo itself. */
const SHORT_BOX_SECONDS = 15;
const INPUT = { fence: 'trigger', switchback: '24h', stream: { leaseSeconds: 5 } };

async function streaming(env: Readonly<Record<string, string>> = {}) {
  const lab = await Lab.open(LEDGER_TABLE);
  const worker = await lab.worker({ env });
  await lab.start(INPUT);
  await lab.phase('stream');
  const ledger = new Ledger(lab.pair);
  await until('some rows', () => ledger.on('source') > 50);
  return { lab, worker, ledger };
}

/** On the new database, with a worker that meets the fault at this point. */
async function onNew(env: Readonly<Record<string, string>>) {
  const { lab, worker, ledger } = await streaming();
  const cutover = await lab.update('cutover', { maxDowntimeSeconds: BOX_SECONDS });
  expect(cutover.code, cutover.stderr + cutover.stdout).toBe(0);
  await until('writes on the new database', () => ledger.on('target') > 10);
  await worker.kill();
  return { lab, ledger, worker: await lab.worker({ env }) };
}

const failing = (at: Point, fault: Fault): Readonly<Record<string, string>> => ({
  WALFERRY_FAILPOINT: fault === 'kill' ? at : `${at} freeze`,
});

test.each(
  cases(
    [
      ['before-release-commit', 'freeze'],
      ['before-open-old', 'kill'],
    ],
    BACK,
  ),
)(
  'a switch back that meets %s, %s: one outcome, no write is lost or on both sides, and one side takes writes again',
  async (at, fault) => {
    const undoes = at.includes('undo') || at === 'after-open';
    const { lab, ledger, worker } = await onNew(failing(at, fault));
    await using _ = lab;
    await using blocker = await connectTo(lab.pair.target);
    blocker.on('error', () => undefined);
    const maxDowntimeSeconds = undoes ? SHORT_BOX_SECONDS : BOX_SECONDS;
    const back = lab.update('switchback', { maxDowntimeSeconds });
    if (undoes) await blockOnceFenced(lab.pair, blocker);
    await stoppedAt(at, worker, back);
    await meet(fault, worker, lab);
    const answer = await back;
    await blocker.query('rollback').catch(() => undefined);
    if (fault === 'freeze') worker.thaw();

    expect(answer.code === 0, answer.stderr + answer.stdout).toBe(!undoes);
    const live = undoes ? 'target' : 'source';
    const before = ledger.on(live);
    await until(`writes on the ${live}`, () => ledger.on(live) > before + 10);
    // What the process that woke up still does.
    await sleep(fault === 'freeze' ? 3_000 : 0);
    if (undoes) {
      const again = await lab.update('switchback', { maxDowntimeSeconds: BOX_SECONDS });
      expect(again.code, again.stderr + again.stdout).toBe(0);
      await until('writes on the source', () => ledger.turns().length > 2);
    }
    await ledger.stop();
    expect(ledger.turns()).toEqual(['source', 'target', 'source']);
    expect(await ledger.check('source', { returned: true })).toEqual([]);
    expect((await lab.ending()).status).toBe('COMPLETED');
  },
);

test.each(cases([['after-start-back', 'kill']], AT_THE_START))(
  'a way back that begins with %s, %s: the application is on the new database, and every write of it returns',
  async (at, fault) => {
    const { lab, ledger, worker } = await streaming(failing(at, fault));
    await using _ = lab;
    const cutover = lab.update('cutover', { maxDowntimeSeconds: BOX_SECONDS });
    await stoppedAt(at, worker, cutover);
    await meet(fault, worker, lab);
    const answer = await cutover;
    expect(answer.stdout, answer.stderr).toContain('The way back is open until');
    if (fault === 'freeze') worker.thaw();
    await until('writes on the new database', () => ledger.on('target') > 10);
    const back = await lab.update('switchback', { maxDowntimeSeconds: BOX_SECONDS });
    expect(back.code, back.stderr + back.stdout).toBe(0);
    await until('writes on the old database', () => ledger.turns().length > 2);
    await ledger.stop();
    expect(ledger.turns()).toEqual(['source', 'target', 'source']);
    expect(await ledger.check('source', { returned: true })).toEqual([]);
  },
);

/** The fence of the switch back on the new database, beside that of the cutover, which is open. */
const FENCES = /* sql */ `
  select from pg_trigger where tgrelid = 'public.ledger'::regclass and tgname like '~walferry_fence%'`;

/** Not before: an open writer also keeps the fence from being installed. */
async function blockOnceFenced(
  { targetClient }: FreshPair,
  blocker: { query(sql: string): unknown },
) {
  const fences = async () => (await targetClient.query(FENCES)).rowCount ?? 0;
  const before = await fences();
  await until('the fence of the switch back', async () => (await fences()) > before);
  await blocker.query(/* sql */ `begin; insert into ledger values (-1, 0, 'target')`);
}

/** Waits for the worker to be killed or frozen; a call that ended before says why. */
async function stoppedAt(at: Point, worker: WorkerProcess, call: ReturnType<Lab['update']>) {
  const ended = call.then(({ stdout, stderr }) => {
    if (!hasStopped(worker)) throw new Error(stdout + stderr);
  });
  const stopped = until(`the worker to stop at ${at}`, () => hasStopped(worker), { seconds: 120 });
  await Promise.race([stopped, ended]);
}
