/** Whatever dies while changes are applied: nothing is lost and nothing is applied twice. */
import { expect, test } from 'vitest';
import { connectTo, sourceServer, targetServer } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import type { Load } from '../support/load.ts';
import { restartTemporal, temporal } from '../support/temporal.ts';
import { until } from '../support/until.ts';

interface Control {
  epoch: string;
  confirmed: string;
  transactions: string;
}

async function control(lab: Lab): Promise<Control> {
  await using target = await connectTo(lab.pair.target);
  const { rows } = await target.query<Control>(
    /* sql */ `select epoch::text, confirmed_lsn::text as confirmed, transactions::text from walferry.migration`,
  );
  const [row] = rows;
  if (!row) throw new Error('no control row');
  return row;
}

/** Waits until transactions that were committed after this call began are on the target. */
async function flowing(lab: Lab, load: Load, seconds = 40): Promise<void> {
  const committed = load.committed;
  const before = BigInt((await until('the control row', () => control(lab))).transactions);
  await until(
    'changes to arrive',
    async () =>
      load.committed > committed + 50 && BigInt((await control(lab)).transactions) > before + 50n,
    { seconds },
  );
}

async function streaming(env?: Record<string, string>): Promise<{ lab: Lab; load: Load }> {
  const lab = await Lab.open(LOAD_TABLES);
  await lab.worker({ name: 'first', ...(env ? { env } : {}) });
  const load = lab.load();
  await lab.start({ stream: { batchMilliseconds: 50 } });
  return { lab, load };
}

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

test('an attempt that was frozen and overtaken writes nothing after it wakes up', async () => {
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
    // Temporal may hand the next attempts to the frozen worker's open polls; each costs a heartbeat timeout.
    { seconds: 90 },
  );
  await flowing(lab, load, 30);
  const taken = await control(lab);
  first?.thaw();
  await flowing(lab, load);
  // Had the old attempt taken over again, the epoch would have moved on.
  expect((await control(lab)).epoch).toBe(taken.epoch);
  await lab.finish();
});

test.each([
  ['source', () => sourceServer()],
  ['target', () => targetServer()],
] as const)(
  'a %s killed while streaming and started again loses nothing',
  async (_name, server) => {
    const { lab, load } = await streaming();
    await using _ = lab;
    await lab.phase('stream');
    await flowing(lab, load);
    await server().kill();
    await server().start();
    await flowing(lab, load, 60);
    await lab.finish();
  },
);

test('a source restarted cleanly while streaming delivers nothing twice', async () => {
  const { lab, load } = await streaming();
  await using _ = lab;
  await lab.phase('stream');
  await flowing(lab, load);
  await sourceServer().stop('fast');
  await sourceServer().start();
  await flowing(lab, load, 60);
  await lab.finish();
});

test('a Temporal server killed while streaming and started again changes nothing', async () => {
  const { lab, load } = await streaming();
  await using _ = lab;
  await lab.phase('stream');
  await flowing(lab, load);
  await restartTemporal();
  await flowing(lab, load, 60);
  await lab.finish();
});

test('a terminated run leaves its slot; starting again is refused with the command that cleans it up', async () => {
  const { lab } = await streaming();
  await using _ = lab;
  await lab.phase('stream');
  await lab.handle.terminate('test');
  await lab.start();
  const ending = await lab.ending();
  expect(ending.status).toBe('FAILED');
  expect(ending.text).toContain(
    `npm run cleanup -- ${lab.pair.source} ${lab.pair.target} --workflow-id ${lab.id}`,
  );
});

test('an activity paused and unpaused from the CLI goes on where it was', async () => {
  const { lab, load } = await streaming();
  await using _ = lab;
  await lab.phase('stream');
  await flowing(lab, load);
  const words = ['-w', lab.id, '--activity-id', 'stream'];
  expect((await temporal('activity', 'pause', ...words)).code).toBe(0);
  await until('the stream to stand still', async () => {
    const before = (await control(lab)).transactions;
    const committed = load.committed;
    await until('more load', () => load.committed > committed + 100);
    return (await control(lab)).transactions === before;
  });
  expect((await temporal('activity', 'unpause', ...words)).code).toBe(0);
  await flowing(lab, load);
  await lab.finish();
});
