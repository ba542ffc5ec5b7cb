/**
 * Crashes of workers and ends of runs while changes are applied: nothing is lost and nothing is applied twice.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { Lab } from '../support/lab.ts';
import { control, flowing, streaming } from '../support/streaming.ts';
import { temporal } from '../support/temporal.ts';
import { until } from '../support/until.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** Number of the running attempt of the stream. */
async function streamAttempt(lab: Lab): Promise<number> {
  const { raw } = await lab.handle.describe();
  const found = raw.pendingActivities?.find(({ activityId }) => activityId === 'stream');
  return found?.attempt ?? 0;
}

// Most of the time is spent waiting for heartbeat timeouts; in parallel the tests wait together.
describe.concurrent('in parallel', () => {
  test('a worker killed with SIGKILL while streaming is replaced within 30 seconds, from its checkpoint', async () => {
    const { lab, load } = await streaming();
    await using _ = lab;
    await lab.phase('stream');
    await flowing(lab, load);
    await lab.workers[0]?.kill();
    await lab.worker({ name: 'second' });
    // Heartbeat timeout 10 s plus a retry: 15 s by design, asserted at twice that.
    await flowing(lab, load, 30);
    await lab.finish();
  });

  test.each(['after-target-commit-before-confirm', 'before-target-commit'])(
    'a worker that dies %s neither loses nor repeats that batch',
    async (point) => {
      const { lab, load } = await streaming({ WALFERRY_FAILPOINT: point });
      await using _ = lab;
      await until('the worker to kill itself at the fail point', () => !lab.workers[0]?.isAlive(), {
        seconds: 90,
      });
      await lab.worker({ name: 'second' });
      await flowing(lab, load, 30);
      await lab.finish();
    },
  );

  test('a worker that runs out of memory in a batch dies without a report, and the next one applies that batch once', async () => {
    const { lab, load } = await streaming({
      WALFERRY_FAILPOINT: 'before-target-commit out-of-memory',
      NODE_OPTIONS: '--max-old-space-size=300',
    });
    await using _ = lab;
    const [first] = lab.workers;
    await until('the worker to die', () => first?.isAlive() === false, { seconds: 90 });
    expect(first?.log()).toContain('JavaScript heap out of memory');
    // In the middle of its first batch.
    expect(await control(lab)).toMatchObject({ transactions: '0' });
    await lab.worker({ name: 'second' });
    await flowing(lab, load, 30);
    await lab.finish();
  });

  test('an attempt that was frozen and replaced writes nothing after it wakes up', async () => {
    const { lab, load } = await streaming();
    await using _ = lab;
    await lab.phase('stream');
    await flowing(lab, load);
    const [first] = lab.workers;
    const before = await control(lab);
    first?.freeze();
    await lab.worker({ name: 'second' });
    await until(
      'the second worker to take over',
      async () => BigInt((await control(lab)).epoch) > BigInt(before.epoch),
      { seconds: 60 },
    );
    // One attempt was frozen, another may have gone to the frozen worker's open poll: each costs a heartbeat timeout.
    expect(await streamAttempt(lab)).toBeLessThanOrEqual(3);
    await flowing(lab, load, 30);
    const taken = await control(lab);
    first?.thaw();
    await flowing(lab, load);
    // If the old attempt had taken over again, the epoch would have increased.
    expect((await control(lab)).epoch).toBe(taken.epoch);
    await lab.finish();
  });

  test('an activity paused and unpaused from the CLI continues where it was', async () => {
    const { lab, load } = await streaming();
    await using _ = lab;
    await lab.phase('stream');
    await flowing(lab, load);
    const words = ['-w', lab.id, '--activity-id', 'stream'];
    expect((await temporal('activity', 'pause', ...words)).code).toBe(0);
    await until('the stream to stop', async () => {
      const before = (await control(lab)).transactions;
      const committed = load.committed;
      await until('more load', () => load.committed > committed + 100);
      return (await control(lab)).transactions === before;
    });
    expect((await temporal('activity', 'unpause', ...words)).code).toBe(0);
    await flowing(lab, load);
    await lab.finish();
  });
});

test('a terminated run leaves its slot; starting again is refused with a command, and that command cleans up', async () => {
  const { lab } = await streaming();
  await using _ = lab;
  await lab.phase('stream');
  await lab.handle.terminate('test');
  await lab.start();
  const ending = await lab.ending();
  expect(ending.status).toBe('FAILED');
  const { source, target } = lab.pair;
  const command = `walferry cleanup ${source} ${target} --workflow-id ${lab.id}`;
  expect(ending.text).toContain(command);
  // The worker notices the end at its next heartbeat; until then the command refuses, because the slot is in use.
  await until('the slot to be free', async () => {
    const free = await lab.onSource(
      /* sql */ `select 1 from pg_replication_slots where database = current_database() and active_pid is null`,
    );
    return free.length === 1;
  });
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', `npx ${command}`], {
    cwd: ROOT,
  });
  expect(stdout).toContain('dropped slot walferry_');
  await lab.expectNothingLeft();
  // Copied tables stay; once they are dropped the same id starts again and completes.
  await lab.onTarget('drop schema public cascade');
  await lab.onTarget('create schema public');
  await lab.start();
  await lab.phase('stream');
  await lab.finish();
});
