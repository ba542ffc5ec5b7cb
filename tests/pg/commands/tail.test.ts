/** `walferry tail`: what it shows of the change stream, and what it leaves. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { freshPair } from '../../support/database.ts';
import { until } from '../../support/until.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../../scripts/program.ts');

class Tail implements AsyncDisposable {
  readonly child: ChildProcess;
  out = '';
  err = '';
  readonly #ended: Promise<unknown>;

  constructor(...words: string[]) {
    this.child = spawn(process.execPath, ['--import', 'tsx', PROGRAM, 'tail', ...words]);
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.out += text));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.err += text));
    this.#ended = once(this.child, 'close');
  }

  async reads(): Promise<void> {
    await until('tail to read', () => this.err.includes('reading'));
  }

  get lines(): Record<string, unknown>[] {
    return this.out
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    await this.#ended;
    return this.child.exitCode;
  }

  async ended(): Promise<number | null> {
    await this.#ended;
    return this.child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
  }
}

const noSlot = /* sql */ `select slot_name from pg_replication_slots where database = current_database()`;

test('it prints every change as it commits with exact values, and leaves no slot', async () => {
  await using pair = await freshPair();
  await pair.sourceClient
    .query(`create table t (id bigint primary key, n numeric, b boolean, long text);
    alter table t alter long set storage external; create table other (id integer primary key)`);
  await using tail = new Tail(pair.source, '--table', 't');
  await tail.reads();
  await pair.sourceClient.query(
    `insert into t values (9007199254740993, 1.10, true, repeat('x', 9000))`,
  );
  await pair.sourceClient.query(`insert into other values (1); update t set n = null, id = 2`);
  await pair.sourceClient.query(`delete from t; truncate t`);
  await pair.sourceClient.query(`select pg_logical_emit_message(true, 'note', 'hello')`);
  await until('six lines', () => tail.lines.length >= 5);
  expect(tail.lines).toMatchObject([
    {
      action: 'insert',
      table: 'public.t',
      values: { id: '9007199254740993', n: '1.10', b: 't', long: 'x'.repeat(9000) },
    },
    { action: 'update', key: { id: '9007199254740993' }, values: { id: '2', n: null, b: 't' } },
    { action: 'delete', key: { id: '2' } },
    { action: 'truncate', table: 'public.t' },
    { action: 'message', prefix: 'note', content: 'hello' },
  ]);
  // An unchanged long value is not in the change: absent, not null.
  expect(tail.lines[1]?.['values']).not.toHaveProperty('long');
  expect(await tail.end('SIGINT')).toBe(0);
  await until('the slot to be gone', async () => {
    const slots = await pair.sourceClient.query(noSlot);
    return slots.rows.length === 0;
  });
});

test('--raw prints what wal2json sends, transactions included', async () => {
  await using pair = await freshPair();
  await pair.sourceClient.query(`create table t (id integer primary key)`);
  await using tail = new Tail(pair.source, '--raw');
  await tail.reads();
  await pair.sourceClient.query(`insert into t values (1)`);
  await until('three lines', () => tail.lines.length >= 3);
  expect(tail.lines.map((line) => line['action'])).toEqual(['B', 'I', 'C']);
});

test('when the reader of the pipe ends, tail ends without an error and without a slot', async () => {
  await using pair = await freshPair();
  await pair.sourceClient.query(`create table t (id integer primary key)`);
  await using tail = new Tail(pair.source);
  await tail.reads();
  tail.child.stdout?.destroy();
  await pair.sourceClient.query(`insert into t select generate_series(1, 1000)`);
  expect(await tail.ended()).toBe(0);
  expect(tail.err).not.toContain('EPIPE');
  await until('the slot to be gone', async () => {
    const slots = await pair.sourceClient.query(noSlot);
    return slots.rows.length === 0;
  });
});

test('it reports what it waits for while a transaction is open, and why it cannot read', async () => {
  await using pair = await freshPair();
  await pair.sourceClient.query(`create table t (id integer primary key)`);
  await pair.sourceClient.query(`begin; insert into t values (1)`);
  await using tail = new Tail(pair.source);
  await until('a word', () => tail.err.includes('waits for transactions that are open'));
  expect(await tail.end('SIGINT')).toBe(0);
  await pair.sourceClient.query('rollback');
  await until('the slot to be gone', async () => {
    const slots = await pair.sourceClient.query(noSlot);
    return slots.rows.length === 0;
  });

  await using unknown = new Tail('no_such_service');
  expect(await unknown.ended()).toBe(2);
  expect(unknown.err).toContain('no_such_service');
});

test('a pattern that matches no table, or only a partitioned one, is reported; the table may be created later', async () => {
  await using pair = await freshPair();
  await pair.sourceClient.query(/* sql */ `create table here (id int primary key);
    create table root (id int primary key) partition by range (id);
    create table leaf partition of root for values from (0) to (10)`);
  await using tail = new Tail(
    ...[pair.source, '--table', 'here', '--table', 'nosuch', '--table', 'root', '--table', 'le*'],
  );
  await tail.reads();
  expect(tail.err.match(/WARNING: .*/g)).toEqual([
    'WARNING: no table matches "nosuch" yet',
    'WARNING: only a partitioned table matches "root": name its partitions, changes carry their names',
  ]);
  await pair.sourceClient.query(/* sql */ `create table nosuch (id int primary key);
    insert into nosuch values (1)`);
  await until('the line', () => tail.lines.length > 0);
  expect(tail.lines).toMatchObject([{ action: 'insert', table: 'public.nosuch' }]);
});

test('a server that is down is named once with its service, and tail ends with code 2', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'walferry-tail-'));
  const file = path.join(folder, 'pg_service.conf');
  writeFileSync(file, '[gone]\nhost=127.0.0.1\nport=1\ndbname=app\nuser=walferry\n');
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', PROGRAM, 'tail', 'gone'],
    {
      env: { ...process.env, PGSERVICEFILE: file },
      encoding: 'utf8',
    },
  );
  rmSync(folder, { recursive: true });
  expect(status).toBe(2);
  expect(stderr.trim()).toBe(
    'tail: service "gone": the database did not answer or closed the connection (ECONNREFUSED): connect ECONNREFUSED 127.0.0.1:1',
  );
});
