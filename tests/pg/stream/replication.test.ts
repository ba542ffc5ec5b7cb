/** The replication connection against a real walsender: each library default that lost data has a test here. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { compareLsn, lsnToBigInt, parseLsn, type Lsn } from '../../../contract/lsn.ts';
import type { Migration } from '../../../contract/migration.ts';
import type { ReaderLimits } from '../../../postgres/replication/reader-options.ts';
import { ReplicationReader } from '../../../postgres/replication/reader.ts';
import { decodeMessage } from '../../../postgres/wal2json/decode.ts';
import type { Commit, WalMessage } from '../../../postgres/wal2json/message.ts';
import { pluginOptions, type PluginSelection } from '../../../postgres/wal2json/plugin-options.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { slotState, startMigration, storedLsn } from '../../support/stream.ts';
import { until } from '../../support/until.ts';

const TABLE = /* sql */ `create table t (id bigint primary key, v text)`;

function open(
  migration: Migration,
  start: Lsn,
  limits: Partial<ReaderLimits> = {},
  selection: Partial<PluginSelection> = {},
): Promise<ReplicationReader> {
  return ReplicationReader.open({
    service: migration.source,
    server: null,
    slot: migration.slot,
    start,
    plugin: pluginOptions({ schemas: null, numericAsText: false, ...selection }),
    limits,
  });
}

/** Reads messages until `enough`, decoded. Empty transactions do not count: those of autovacuum are sent, too. */
async function read(
  reader: ReplicationReader,
  enough: (messages: WalMessage[]) => boolean,
): Promise<WalMessage[]> {
  const messages: WalMessage[] = [];
  await until(
    'messages of the stream',
    async () => {
      for (let item = reader.take(); item !== null; item = reader.take()) {
        if (item.kind === 'message')
          messages.push(decodeMessage(item.own.toString(), parseLsn(item.lsn)));
        if (messages.at(-1)?.action === 'C' && messages.at(-2)?.action === 'B') messages.splice(-2);
        if (enough(messages)) return true;
      }
      await reader.ready(100);
      return false;
    },
    { everyMilliseconds: 1 },
  );
  return messages;
}

const commits = (messages: WalMessage[]): Commit[] =>
  messages.filter((message): message is Commit => message.action === 'C');

/** The failure that ends the stream. */
async function failureOf(reader: ReplicationReader): Promise<unknown> {
  let failure: unknown;
  await until('the stream to fail', async () => {
    try {
      while (reader.take() !== null);
      await reader.ready(100);
      return false;
    } catch (error) {
      failure = error;
      return true;
    }
  });
  return failure;
}

async function insertOne(db: FreshPair, id: number): Promise<void> {
  await db.sourceClient.query(/* sql */ `insert into t values ($1, 'x')`, [id]);
}

test('what was received but not confirmed is delivered again, however long it was held', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const { confirmed: start } = await slotState(db, migration);
  {
    await using reader = await open(migration, start, { statusMs: 50 });
    await insertOne(db, 1);
    await read(reader, (m) => commits(m).length === 1);
    // After many status replies the source must still be at the target's position.
    await sleep(600);
    expect((await slotState(db, migration)).confirmed).toBe(start);
  }
  await until('the slot to be free', async () => (await slotState(db, migration)).active === null);
  await using again = await open(migration, start);
  const messages = await read(again, (m) => commits(m).length === 1);
  expect(messages.some((message) => message.action === 'I')).toBe(true);
});

test('exactly the stored LSN is confirmed, and the transaction whose commit begins right there is delivered', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const { confirmed: start } = await slotState(db, migration);
  let last: Commit | undefined;
  {
    await using reader = await open(migration, start);
    await db.sourceClient.query(/* sql */ `insert into t values (1, 'a')`);
    [last] = commits(await read(reader, (m) => commits(m).length === 1));
    if (!last) throw new Error('no commit');
    reader.confirm(last.nextlsn);
    await until('the confirmation', async () => {
      return (await slotState(db, migration)).confirmed === last?.nextlsn;
    });
  }
  await until('the slot to be free', async () => (await slotState(db, migration)).active === null);
  // Two adjacent commit records are rare on an idle server, so the position itself is tested:
  // a start at the beginning of the commit record must deliver it, a start one byte later must not.
  await insertOne(db, 2);
  let second: Commit | undefined;
  {
    await using reader = await open(migration, last.nextlsn);
    [second] = commits(await read(reader, (m) => commits(m).length === 1));
  }
  if (!second) throw new Error('no second commit');
  await until('the slot to be free', async () => (await slotState(db, migration)).active === null);
  await using reader = await open(migration, second.lsn);
  const [again] = commits(await read(reader, (m) => commits(m).length === 1));
  expect(again).toEqual(second);
});

test('a second subscription starts at the position it is given, not at the last received one', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const { confirmed: start } = await slotState(db, migration);
  for (let round = 1; round <= 3; round += 1) {
    await insertOne(db, round);
    await using reader = await until('the slot to be free', () => open(migration, start));
    const messages = await read(reader, (m) => commits(m).length === round);
    expect(messages.filter(({ action }) => action === 'I')).toHaveLength(round);
  }
});

test('keepalives stay behind the data that was sent before them', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const { confirmed: start } = await slotState(db, migration);
  await using reader = await open(migration, start, { statusMs: 20, stallMs: 400 });
  let sent = true;
  const writing = (async () => {
    for (let id = 1; sent; id += 1) await insertOne(db, id);
  })();
  let horizon = 0n;
  let keepalives = 0;
  let transactions = 0;
  await until('2000 transactions and some keepalives', async () => {
    for (let item = reader.take(); item !== null; item = reader.take()) {
      if (item.kind === 'keepalive') {
        keepalives += 1;
        const position = lsnToBigInt(item.lsn);
        if (position > horizon) horizon = position;
        continue;
      }
      if (item.kind !== 'message') continue;
      const message = decodeMessage(item.own.toString());
      if (message.action !== 'B') continue;
      transactions += 1;
      // If a keepalive had overtaken this transaction, confirming it would have lost the transaction.
      expect(lsnToBigInt(message.lsn) >= horizon).toBe(true);
    }
    await reader.ready(50);
    return transactions > 2000 && keepalives > 20;
  }).finally(() => {
    sent = false;
  });
  await writing;
});

test('a full queue pauses the sender, memory stays bounded, and the server still gets our replies', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const { confirmed: start } = await slotState(db, migration);
  await db.sourceClient.query(
    /* sql */ `insert into t select i, repeat('x', 1000) from generate_series(1, 30000) i`,
  );
  const limits = { queueBytes: 100_000, statusMs: 200, senderTimeoutMs: 1_000, stallMs: 1_000 };
  await using reader = await open(migration, start, limits);
  await until('back-pressure', () => reader.pauses > 0);
  const heard = reader.heard;
  // Three times the server's timeout: without status replies the walsender would be gone.
  await sleep(3_000);
  expect(reader.heard - heard).toBeLessThan(2_000);
  const messages = await read(reader, (m) => commits(m).length === 1);
  expect(messages.filter(({ action }) => action === 'I')).toHaveLength(30_000);
  expect(reader.pauses).toBeGreaterThan(5);
});

test('a WARNING of the source ends the stream at its place, and earlier messages can still be read', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    `${TABLE}; create table bare (a int); insert into bare values (1)`,
  );
  const { confirmed: start } = await slotState(db, migration);
  // A database may suppress the message that reports the loss.
  await db.sourceClient.query(`alter database "${db.source}" set client_min_messages = error`);
  await using reader = await open(migration, start);
  await insertOne(db, 1);
  await db.sourceClient.query(/* sql */ `update bare set a = 2`);
  await insertOne(db, 2);
  const taken: WalMessage[] = [];
  let failure: unknown;
  await until('the warning', async () => {
    try {
      for (let item = reader.take(); item !== null; item = reader.take()) {
        if (item.kind === 'message') taken.push(decodeMessage(item.own.toString()));
      }
      await reader.ready(100);
      return false;
    } catch (error) {
      failure = error;
      return true;
    }
  });
  expect(failure).toMatchObject({ code: 'StreamWarning', details: { sqlstate: '01000' } });
  expect(taken.filter(({ action }) => action === 'I')).toHaveLength(1);
  await sleep(200);
  expect(() => reader.take()).toThrow(); // nothing after it is delivered
});

test('a terminated walsender is Unreachable, a slot in use is SlotBusy, a missing slot is SlotMissing', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const { confirmed: start } = await slotState(db, migration);
  await using reader = await open(migration, start);
  await expect(open(migration, start)).rejects.toMatchObject({ code: 'SlotBusy' });
  expect((await slotState(db, migration)).active).toBe(reader.backendPid);
  await db.sourceClient.query(/* sql */ `select pg_terminate_backend($1)`, [reader.backendPid]);
  expect(await failureOf(reader)).toMatchObject({ code: 'Unreachable' });
  await expect(open({ ...migration, slot: 'no_such_slot' }, start)).rejects.toMatchObject({
    code: 'SlotMissing',
    details: { slot: 'no_such_slot' },
  });
});

test('an update without its key, because its table’s catalog entry changed in between, is read again with the key', async () => {
  await using db = await freshPair();
  const rows = 3_000;
  const labels = Array.from({ length: rows }, (_, n) => `'l${n}'`).join(',');
  const migration = await startMigration(
    db,
    `create type label as enum (${labels});
     create table t (id int primary key, a label, b label);
     insert into t select n, ('l' || n)::label, 'l0' from generate_series(0, ${rows - 1}) n`,
  );
  // Printing a row looks each label up for the first time: that is where the walsender processes changed catalog entries.
  await db.sourceClient.query(
    /* sql */ `update t set a = ('l' || (${rows - 1} - id))::label, b = a`,
  );
  const { confirmed: start } = await slotState(db, migration);
  let failure: unknown;
  let done = false;
  const altering = (async () => {
    for (let n = 0; !done; n += 1)
      await db.sourceClient.query(`alter table t set (fillfactor = ${String(50 + (n % 50))})`);
  })();
  try {
    await until('an update without its key', async () => {
      await using reader = await open(migration, start);
      for (let last = ''; last !== 'C' && failure === undefined;) {
        try {
          const item = reader.take();
          if (item === null) await reader.ready(100);
          else if (item.kind === 'message') last = decodeMessage(item.own.toString()).action;
        } catch (error) {
          failure = error;
        }
      }
      return failure !== undefined;
    });
  } finally {
    done = true;
    await altering;
  }
  expect(failure).toMatchObject({ code: 'KeyUnread' });
  await using reader = await open(migration, start);
  const updates = (await read(reader, (m) => commits(m).length === 1)).flatMap((message) =>
    message.action === 'U' ? [message.identity] : [],
  );
  expect(updates).toHaveLength(rows);
  expect(updates.every((identity) => identity.length === 1)).toBe(true);
});

test('a connection without any sign of life is Stalled, an idle one is not', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const { confirmed: start } = await slotState(db, migration);
  await using reader = await open(migration, start, { stallMs: 800, statusMs: 100 });
  // Idle for three times the limit: replies to our own requests keep it alive.
  await sleep(2_400);
  while (reader.take() !== null);
  const pid = reader.backendPid;
  if (pid === null) throw new Error('no walsender');
  process.kill(pid, 'SIGSTOP');
  try {
    expect(await failureOf(reader)).toMatchObject({ code: 'Stalled' });
  } finally {
    process.kill(pid, 'SIGCONT');
  }
});

test('every schema name reaches the plugin, and nothing else does', async () => {
  await using db = await freshPair();
  const names = [
    'plain',
    'UPPER',
    'with space',
    'com,ma',
    'do.t',
    "quo'te",
    'st*r',
    'back\\slash',
    'dou"ble',
    'ünï',
    '*',
    'tab\tnl\n',
  ];
  const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
  const ddl = [...names, 'other']
    .map(
      (name) =>
        `create schema ${quoted(name)}; create table ${quoted(name)}.t (id int primary key);`,
    )
    .join('\n');
  const migration = await startMigration(db, ddl);
  const { confirmed: start } = await slotState(db, migration);
  await using reader = await open(migration, start, {}, { schemas: names });
  await db.sourceClient.query(
    [...names, 'other'].map((name) => `insert into ${quoted(name)}.t values (1);`).join('\n'),
  );
  const messages = await read(reader, (m) => commits(m).length === 1);
  const seen = messages.flatMap((message) => (message.action === 'I' ? [message.schema] : []));
  expect(seen.sort()).toEqual([...names].sort());
  expect(compareLsn(reader.receivedLsn, start)).toBeGreaterThan(0);
});

test('a filter of a hundred thousand names is accepted by the replication command and by the SQL function', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(
    /* sql */ `create table other (id int primary key); insert into other values (1); insert into t values (1, 'x')`,
  );
  const without = Array.from({ length: 100_000 }, (_, i) => ({
    schema: 'public',
    name: i === 99_999 ? 'other' : `a table, "number" ${i}`,
  }));
  const tablesOf = (messages: WalMessage[]) =>
    messages.flatMap((one) => ('table' in one ? [one.table] : []));
  {
    await using reader = await open(migration, await storedLsn(db, migration), {}, { without });
    expect(tablesOf(await read(reader, (messages) => commits(messages).length > 0))).toEqual(['t']);
  }
  const options = Object.entries(
    pluginOptions({ schemas: null, numericAsText: false, without }),
  ).flat();
  const { rows } = await db.sourceClient.query<{ data: string }>(
    /* sql */ `select data from pg_logical_slot_peek_changes($1, null, null, variadic $2::text[])`,
    [migration.slot, options],
  );
  expect(tablesOf(rows.map(({ data }) => decodeMessage(data)))).toEqual(['t']);
});
