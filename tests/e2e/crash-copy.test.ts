/**
 * After any crash during the copy, the copy continues with the remaining chunks, and every row arrives once.
 */
import { describe, expect, test } from 'vitest';
import { BIG, SLOW, snapshotOf, marks, underWay } from '../support/copying.ts';
import { targetServer } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { restartTemporal } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import type { WorkerProcess } from '../support/worker.ts';

interface Mark {
  id: number;
  done_at: string;
  worker: string;
}

async function doneMarks(lab: Lab): Promise<Mark[]> {
  return lab.onTarget<Mark>(
    /* sql */ `select id, done_at::text, worker from walferry.chunk where done_at is not null order by id`,
  );
}

/** The process that owns the snapshot, as its log reports. */
function snapshotOwnerOf(lab: Lab): WorkerProcess | undefined {
  return lab.workers.find((worker) => worker.log().includes('a snapshot is held'));
}

// Most of the time is spent waiting for heartbeat timeouts; in parallel the tests wait together.
describe.concurrent('in parallel', () => {
  test('a worker killed with SIGKILL in the copy costs only the chunks in flight', async () => {
    await using lab = await Lab.open(LOAD_TABLES + BIG);
    await Promise.all([lab.worker({ name: 'left' }), lab.worker({ name: 'right' })]);
    lab.load();
    await lab.start(SLOW);
    await underWay(lab);
    await lab.workers.find((worker) => worker !== snapshotOwnerOf(lab))?.kill();
    const before = await doneMarks(lab);
    await lab.phase('stream');
    const after = new Map((await doneMarks(lab)).map((mark) => [mark.id, mark]));
    // Same time and same worker: not copied twice.
    for (const mark of before) expect(after.get(mark.id)).toEqual(mark);
    await lab.finish();
  });

  test('the worker that owns the snapshot killed with SIGKILL costs only unfinished tables', async () => {
    await using lab = await Lab.open(LOAD_TABLES + BIG);
    const first = await lab.worker({ name: 'first' });
    lab.load();
    await lab.start(SLOW);
    await underWay(lab);
    await first.kill();
    await lab.worker({ name: 'second' });
    await lab.phase('stream');
    expect(await snapshotOf(lab, 'big')).toBeGreaterThan(1);
    await lab.finish();
  });

  test('a worker killed with SIGKILL during a resync costs neither rows nor the changes of other tables', async () => {
    await using lab = await Lab.open(LOAD_TABLES + BIG);
    const first = await lab.worker({ name: 'first' });
    lab.load();
    await lab.start({ ...SLOW, stream: { leaseSeconds: 5 } });
    await lab.phase('stream');
    const pass = await snapshotOf(lab, 'big');
    expect((await lab.update('pause')).code).toBe(0);
    // No change shows it, and the source needs no rewrite.
    const ddl = 'alter table big alter filler type varchar(200)';
    await lab.onTarget(ddl);
    await lab.onSource(ddl);
    expect((await lab.update('resume')).code).toBe(0);
    await until(
      'the second copy to be under way',
      async () => {
        const now = await marks(lab);
        return now && now.done > 2 && now.done < now.total;
      },
      { everyMilliseconds: 5, seconds: 60 },
    );
    await first.kill();
    expect((await marks(lab))?.done).toBeLessThan((await marks(lab))?.total ?? 0);
    await lab.worker({ name: 'second' });
    await lab.phase('stream');
    expect(await snapshotOf(lab, 'big')).toBeGreaterThan(pass ?? 0);
    await lab.finish();
  });

  test('two workers share one copy; the marks show both', async () => {
    await using lab = await Lab.open(LOAD_TABLES + BIG);
    await Promise.all([lab.worker({ name: 'left' }), lab.worker({ name: 'right' })]);
    lab.load();
    await lab.start(SLOW);
    await lab.phase('stream');
    const workers = await lab.onTarget<{ worker: string }>(
      /* sql */ `select distinct worker from walferry.chunk where done_at is not null`,
    );
    expect(workers).toHaveLength(2);
    await lab.finish();
  });
});

test('a Temporal server killed in the copy and started again loses nothing', async () => {
  await using lab = await Lab.open(LOAD_TABLES + BIG);
  await lab.worker();
  lab.load();
  await lab.start(SLOW);
  await underWay(lab);
  await restartTemporal();
  await lab.phase('stream');
  await lab.finish();
});

test('a target killed in the copy and started again loses nothing', async () => {
  await using lab = await Lab.open(LOAD_TABLES + BIG);
  await lab.worker();
  lab.load();
  await lab.start(SLOW);
  await underWay(lab);
  await targetServer().kill();
  await targetServer().start();
  await lab.phase('stream');
  await lab.finish();
});
