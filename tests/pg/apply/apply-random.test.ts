/**
 * Random work of a writer on four tables (keyed, composite key, changing key, no key), applied in batches of random size: the
 * target equals the source, which applied them in sequence.
 */
import { test } from 'vitest';
import type { Change } from '../../../postgres/apply/change.ts';
import { expectEqual } from '../../support/equality.ts';
import { drawn, type Pick } from '../../support/random/pick.ts';
import { Feed } from './apply-feed.ts';

const SCHEMA = /* sql */ `
  create table public.person (id int primary key, email text unique, body text, n numeric);
  alter table public.person alter column body set storage external;
  create table public.line (a int, b text, v text, w text, primary key (b, a));
  create table public.moving (id text primary key, v int);
  create table public.event (k int, v text, j json);
  alter table public.event replica identity full;
  create index on public.event (k);`;

const LARGE_BATCH = 20_000;
const SMALL_BATCHES = 8;
const STATEMENTS_PER_TRANSACTION = 400;

/** One statement. Keys come from a small range, so that the same rows are changed repeatedly; some statements match no row. */
function statement(random: Pick, next: number): string {
  const id = random.below(800);
  const text = ['null', `'x${next}'`, `E'tab\\t\\\\ ${next}'`, `''`][random.below(4)] ?? 'null';
  const large = random.below(4) === 0 ? `repeat(md5('${next}'), 100)` : text;
  switch (random.below(15)) {
    case 0:
    case 1:
      return `insert into public.person values (${id}, 'mail ${next}', ${large}, ${next}.50) on conflict do nothing`;
    case 2:
    case 3:
      return `update public.person set n = coalesce(n, 0) + 1 where id = ${id}`;
    case 4:
      return `update public.person set body = ${large} where id = ${id}`;
    case 5:
      return `delete from public.person where id = ${id}`;
    case 6:
      return `update public.person set id = ${next + 1000} where id = ${id}`;
    case 7:
      return `update public.person set n = 0 where id = 1`;
    case 8:
      return `insert into public.line values (${id % 50}, 'b ${id % 7}', ${text}, ${large}) on conflict (b, a) do update set v = excluded.v`;
    case 9:
      return `delete from public.line where a = ${id % 50} and b = 'b ${id % 7}'`;
    case 10:
      return `insert into public.moving values ('k${id}', ${next}) on conflict do nothing`;
    case 11:
      return `update public.moving set v = ${next} where id = 'k${id}'`;
    case 12:
      return `insert into public.event select ${id % 40}, ${text}, '{"a":  ${id % 3}}' from generate_series(1, ${1 + random.below(3)})`;
    case 13:
      return `delete from public.event where ctid = (select min(ctid) from public.event where k = ${id % 40})`;
    default:
      return `update public.event set v = ${text} where ctid = (select min(ctid) from public.event where k = ${id % 40})`;
  }
}

/** Key changes to random free keys, and unique values that rows exchange. */
function moves(random: Pick): string {
  const from = random.below(800);
  const to = random.below(800);
  if (random.below(3) > 0) {
    return `update public.moving set id = 'k${to}' where id = 'k${from}' and not exists (select from public.moving where id = 'k${to}')`;
  }
  return `
    update public.person set email = null where email = 'hot ${to % 20}';
    update public.person set email = 'hot ${to % 20}' where id = ${from}`;
}

test('20,000 random changes in one batch, then batches of random size, leave the target equal to the source', async () => {
  const random = drawn();
  await using feed = await Feed.start(SCHEMA);
  await using applier = await feed.open();
  let next = 0;
  const work = async (transactions: number): Promise<void> => {
    for (let left = transactions; left > 0; left -= 1) {
      const statements: string[] = [];
      for (let size = random.below(STATEMENTS_PER_TRANSACTION); size >= 0; size -= 1) {
        next += 1;
        statements.push(random.below(8) === 0 ? moves(random) : statement(random, next));
      }
      await feed.source.query(`begin; ${statements.join('; ')}; commit`);
    }
  };
  const apply = async (changes: readonly Change[]): Promise<void> => {
    await feed.applyWith(applier, changes);
    process.stdout.write(`${changes.length} changes, ${applier.refusals} sets refused so far\n`);
    await expectEqual(feed.source, feed.target);
  };
  const large: Change[] = [];
  while (large.length < LARGE_BATCH) {
    await work(30);
    large.push(...(await feed.changes()));
  }
  await apply(large);
  for (let batch = 0; batch < SMALL_BATCHES; batch += 1) {
    await work(random.below(5));
    if (random.below(4) === 0)
      await feed.source.query(/* sql */ `truncate public.line, public.moving`);
    await work(1 + random.below(3));
    await apply(await feed.changes());
  }
}, 240_000);
