/**
 * One source transaction of many rows: the worker's memory does not grow with it. Read from the operating system for
 * a real worker process: `VmHWM` is the peak resident memory. `WALFERRY_TEST_LARGE=1` also measures single large
 * values, which takes minutes (docs/explanation/fidelity-values.md has the figures).
 */
import { expect, test } from 'vitest';
import { Lab } from '../support/lab.ts';
import { peakMiB } from '../support/stream-child.ts';
import { until } from '../support/until.ts';

/** Node, the Temporal SDK with its native core, and everything that streams. */
const BOUND_MIB = 300;
/**
 * Far more than is held at once (5,000 changes in a piece); `WALFERRY_TEST_ROWS=1000000` for the documented size.
 */
const ROWS = Number(process.env['WALFERRY_TEST_ROWS'] ?? 150_000);
const SECONDS = 300;

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

const LARGE: readonly (readonly [name: string, type: string, value: string])[] = [
  ['text', 'text', `repeat('abcdefgh', 12500000)`],
  ['text that JSON escapes', 'text', `repeat('x"\\', 33333333)`],
  ['text of two-byte characters', 'text', `repeat('é', 50000000)`],
  ['bytea', 'bytea', `decode(repeat('00ff5c0a', 25000000), 'hex')`],
];
/**
 * A change is one line of JSON, which is held whole: as bytes, and as the row sent to the target; a bytea counts
 * twice.
 */
const LARGE_BOUND_MIB = 1_300;

if (process.env['WALFERRY_TEST_LARGE'] !== undefined) {
  test.each(LARGE)(
    'values of 100 MB (%s) arrive, copied within the bound of every copy, streamed within a separate bound',
    { timeout: SECONDS * 1000 },
    async (name, type, value) => {
      await using lab = await Lab.open(/* sql */ `
        create table large (id int primary key, v ${type}, n int); alter table large alter v set storage external;
        insert into large values (1, ${value}, 1)`);
      const worker = await lab.worker();
      const figures = [`before ${peakMiB(worker.pid).toFixed(0)}`];
      await lab.start();
      await lab.phase('stream');
      figures.push(`copied ${peakMiB(worker.pid).toFixed(0)}`);
      expect(peakMiB(worker.pid)).toBeLessThan(BOUND_MIB);
      const steps: readonly (readonly [what: string, sql: string])[] = [
        ['inserted', `insert into large values (2, ${value}, 2)`],
        ['updated', `update large set v = ${value}, n = 3 where id = 1`],
        [
          'five in one transaction',
          `insert into large select i, ${value}, 3 + i from generate_series(3, 7) i`,
        ],
      ];
      const digest = `select id, n, md5(v) from large order by id`;
      for (const [what, sql] of steps) {
        await lab.onSource(sql);
        const [expected] = await lab.onSource<{ n: number }>(`select sum(n)::int4 as n from large`);
        await until(
          'the change to arrive',
          async () => {
            const [seen] = await lab.onTarget<{ n: number }>(`select sum(n)::int4 as n from large`);
            return seen?.n === expected?.n;
          },
          { seconds: 120 },
        );
        figures.push(`${what} ${peakMiB(worker.pid).toFixed(0)}`);
      }
      process.stdout.write(`${name}, MiB resident at most: ${figures.join(', ')}\n`);
      expect(await lab.onTarget(digest)).toEqual(await lab.onSource(digest));
      expect(peakMiB(worker.pid)).toBeLessThan(LARGE_BOUND_MIB);
    },
  );
}
