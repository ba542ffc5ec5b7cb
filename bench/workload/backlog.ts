/**
 * Backlogs to drain: what an application writes while no one reads the slots. Each has one kind of work, because
 * their limits differ: the number of commits, of rows, or of bytes.
 */
import type { BenchServer } from '../rig/server.ts';
import { pgbench } from './pgbench.ts';

export interface Backlog {
  readonly name: string;
  /** Row changes at full size. */
  readonly changes: number;
  /** Row changes of one transaction, as pgbench runs them; undefined when everything is one transaction. */
  readonly perTransaction?: number;
  /** Tables whose contents are compared afterwards. */
  readonly tables: readonly string[];
  /** Creates the rows that it changes, unless an earlier backlog has. Not part of the measurement. */
  readonly prepare?: (source: BenchServer, changes: number) => Promise<void>;
  /**
   * Writes about this many changes. @throws Error when a statement has changed another number: otherwise an empty
   * backlog would look fast.
   */
  write(source: BenchServer, changes: number): Promise<void>;
}

const MIXED_TABLES = 50;
const ACCOUNTS = 2_000_000;
const WIDE_ROWS = 200_000;

/** Tables of all backlogs. `mark` shows that everything before it has arrived. */
export function schema(scale: number): string {
  const accounts = Math.max(10_000, Math.round(ACCOUNTS * scale));
  const wide = Math.max(1_000, Math.round(WIDE_ROWS * scale));
  const mixed = Array.from(
    { length: MIXED_TABLES },
    (_, i) => `
    create table m${i} (id serial primary key, v bigint, w text);
    insert into m${i} (v, w) select g, 'seed' from generate_series(1, 1000) g;`,
  ).join('');
  return `
    create table account (id bigint primary key, balance bigint not null, filler text);
    create table history (id bigserial primary key, account bigint, delta int, at timestamptz default now());
    create table teller (id int primary key, balance bigint);
    create table branch (id int primary key, balance bigint);
    create table hot (id int primary key, n bigint);
    create table event (id bigserial primary key, at timestamptz, payload text);
    create table wide (id int primary key, n int, a text, b text, c jsonb);
    create table mark (id int primary key);
    insert into account select g, 0, repeat('x', 60) from generate_series(1, ${accounts}) g;
    insert into teller select g, 0 from generate_series(1, 100) g;
    insert into branch select g, 0 from generate_series(1, 10) g;
    insert into hot select g, 0 from generate_series(1, 100) g;
    insert into wide
      select g, 0, v.a, 'short', jsonb_build_object('k', g)
      from generate_series(1, ${wide}) g,
        -- Incompressible and above the limit of an inline value: it stays in TOAST and is not sent when it does not change.
        lateral (select string_agg(md5((g * 100 + k)::text), '') as a from generate_series(1, 80) k) v;
    ${mixed}`;
}

const SMALL = `
\\set a random(1, :accounts)
begin;
update account set balance = balance + 1 where id = :a;
insert into history (account, delta) values (:a, 1);
commit;
`;

const TPCB = `
\\set a random(1, :accounts)
\\set b random(1, 10)
\\set t random(1, 100)
\\set d random(-5000, 5000)
begin;
update account set balance = balance + :d where id = :a;
update teller set balance = balance + :d where id = :t;
update branch set balance = balance + :d where id = :b;
insert into history (account, delta) values (:a, :d);
end;
`;

const HOT = `
\\set a random(1, 100)
update hot set n = n + 1 where id = :a;
`;

const MIXED = `
\\set t random(0, ${MIXED_TABLES - 1})
\\set a random(1, 1000000)
\\set b random(1, 1000)
begin;
${Array.from(
  { length: MIXED_TABLES },
  (_, i) => `\\if :t = ${i}
insert into m${i} (v, w) values (:a, 'mixed row');
update m${i} set v = v + 1 where id = :b;
\\endif
`,
).join('')}commit;
`;

const CLIENTS = 8;

function transactions(
  name: string,
  script: string,
  perTransaction: number,
  full: number,
  tables: readonly string[],
): Backlog {
  return {
    ...{ name, perTransaction, tables, changes: full * perTransaction },
    write: async (source, changes) => {
      const accounts = await source.value('app', 'select max(id) from account');
      await pgbench(source, 'app', script, {
        clients: CLIENTS,
        transactions: Math.max(1, Math.round(changes / perTransaction / CLIENTS)),
        variables: { accounts },
      });
    },
  };
}

function statement(
  name: string,
  full: number,
  tables: readonly string[],
  sql: (changes: number) => string,
  prepare?: (source: BenchServer, changes: number) => Promise<void>,
): Backlog {
  return {
    ...{ name, changes: full, tables },
    ...(prepare && { prepare }),
    write: async (source, changes) => {
      const made = await source.changed('app', sql(changes));
      if (made !== changes) throw new Error(`${name} made ${made} changes instead of ${changes}`);
    },
  };
}

const insertEvents = (n: number): string =>
  `insert into event (at, payload) select now(), 'payload of event ' || g from generate_series(1, ${n}) g`;

export const BACKLOGS: readonly Backlog[] = [
  transactions('small', SMALL, 2, 100_000, ['account', 'history']),
  transactions('tpcb', TPCB, 4, 60_000, ['account', 'history', 'teller', 'branch']),
  transactions('hot', HOT, 1, 100_000, ['hot']),
  transactions(
    'mixed',
    MIXED,
    2,
    60_000,
    Array.from({ length: MIXED_TABLES }, (_, i) => `m${i}`),
  ),
  statement('bulk insert', 1_000_000, ['event'], insertEvents),
  statement(
    'bulk update',
    500_000,
    ['account'],
    (n) => `update account set balance = balance + 1 where id <= ${n}`,
  ),
  statement(
    'bulk delete',
    400_000,
    ['event'],
    (n) => `delete from event where id in (select id from event order by id limit ${n})`,
    async (source, n) => {
      const there = Number(await source.value('app', 'select count(*) from event'));
      if (there < n) await source.rows('app', insertEvents(n - there));
    },
  ),
  statement('wide', 200_000, ['wide'], (n) => `update wide set n = n + 1 where id <= ${n}`),
];
