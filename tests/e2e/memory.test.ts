/**
 * One source transaction of many rows: the worker's memory does not grow with it. Read from the operating system, of a real
 * worker process: `VmHWM` is the most that was ever resident.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Lab } from '../support/lab.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;
/** Node, the Temporal SDK with its native core, and everything that streams. */
const BOUND_MIB = 300;
/** Far more than is held at once (5,000 changes in a piece); `WALFERRY_TEST_ROWS=1000000` for the size that was promised. */
const ROWS = Number(process.env['WALFERRY_TEST_ROWS'] ?? 300_000);
const SECONDS = 300;

/** Most memory that the process ever had resident, MiB. */
function peakMiB(pid: number): number {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return (Number(line?.[1]) * 1024) / MIB;
}

test(
  `one transaction each of ${ROWS.toLocaleString('en')} inserted, updated and deleted rows leaves the worker below ${BOUND_MIB} MiB resident`,
  { timeout: (3 * SECONDS + 60) * 1000 },
  async () => {
    await using lab = await Lab.open(/* sql */ `
      create table many (id bigint primary key, n int not null, label text not null);
      create table kept (id int primary key, what text);`);
    const worker = await lab.worker();
    await lab.start();
    await lab.phase('stream');
    process.stdout.write(`before: ${peakMiB(worker.pid).toFixed(0)} MiB\n`);
    const steps = [
      `insert into many select i, i % 1000, 'row ' || i from generate_series(1, ${ROWS}) i`,
      `update many set n = n + 1, label = label || '!'`,
      `delete from many`,
    ];
    for (const [number, sql] of steps.entries()) {
      await lab.onSource(`begin; ${sql}; insert into kept values (${number}, 'end'); commit`);
      const started = performance.now();
      await until(
        'the transaction to arrive',
        async () => (await lab.onTarget(`select from kept where id = ${number}`)).length === 1,
        { seconds: SECONDS, everyMilliseconds: 100 },
      );
      const digest = `select count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text as sum from many t`;
      expect(await lab.onTarget(digest)).toEqual(await lab.onSource(digest));
      const took = ((performance.now() - started) / 1000).toFixed(1);
      process.stdout.write(
        `${sql.slice(0, 6)}: ${took} s, peak ${peakMiB(worker.pid).toFixed(0)} MiB\n`,
      );
    }
    expect(peakMiB(worker.pid)).toBeLessThan(BOUND_MIB);
    await lab.finish();
  },
);
