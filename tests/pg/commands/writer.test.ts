/** `walferry writer`: what it acknowledges is stored, and its ledger detects what is not. */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { Database } from '../../../scripts/local/writer/database.ts';
import { freshPair } from '../../support/database.ts';
import { testRun } from '../../support/run.ts';
import { until } from '../../support/until.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../../scripts/program.ts');

async function writer(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--import', 'tsx', PROGRAM, 'writer', ...words],
      (error, out, err) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, out, err });
      },
    );
  });
}

function ledgerFile(): string {
  return path.join(mkdtempSync(path.join(testRun().folder, 'ledger-')), 'ledger.jsonl');
}

test('the writer seeds, writes at the requested rate, and its ledger check passes', async () => {
  await using pair = await freshPair();
  const ledger = ledgerFile();
  const words = ['--rows', '2000', '--rate', '400', '--duration', '4', '--ledger', ledger];
  const run = await writer(pair.source, ...words, '--seed', '7');
  expect(run, run.err).toMatchObject({ code: 0 });
  const totals = /wrote (\d+) changes in (\d+) transactions; (\d+) rolled back/.exec(run.out);
  expect(Number(totals?.[1])).toBeGreaterThan(800);
  expect(Number(totals?.[1])).toBeLessThan(2400);
  expect(Number(totals?.[3])).toBeGreaterThan(0);
  expect(run.out).toMatch(/^2 s: \d+ changes\/s/m);
  const check = await writer('check', pair.source, '--ledger', ledger);
  expect(check.out).toContain(`the ledger matches: ${totals?.[2]} acknowledged transactions`);
  expect(check.code).toBe(0);
  // Nothing is seeded a second time.
  const again = await writer(pair.source, '--rate', '0');
  expect(again.out).toContain('not seeded again');
  const persons = await pair.sourceClient.query<{ n: number }>(
    `select count(*)::integer as n from person where revision = 0`,
  );
  expect(persons.rows[0]?.n).toBeLessThanOrEqual(2000);
});

test('the ledger check finds a lost commit, a foreign write, other content and a row that came back', async () => {
  await using pair = await freshPair();
  const ledger = ledgerFile();
  await writer(
    pair.source,
    ...['--rows', '500', '--rate', '500', '--duration', '3', '--ledger', ledger],
  );
  const { sourceClient: source } = pair;
  const corrupt = async (sql: string, finding: RegExp) => {
    await source.query('begin');
    await source.query(`create table spoiled as table person; create table gone as table event`);
    await source.query(sql);
    await source.query('commit');
    const check = await writer('check', pair.source, '--ledger', ledger);
    expect(check.code, check.out + check.err).toBe(1);
    expect(check.out).toMatch(finding);
    await source.query(`set session_replication_role = replica;
      delete from person; insert into person overriding system value table spoiled;
      delete from event; insert into event table gone; drop table spoiled, gone;
      set session_replication_role = origin`);
  };
  await corrupt(
    `delete from event where revision = (select max(revision) from event)`,
    /event .*: committed change \d+ is missing/,
  );
  await corrupt(
    `insert into person (name, city, born, revision) values ('x', 'y', now(), 1000000000)`,
    /person \d+: change 1000000000 is not in the ledger/,
  );
  await corrupt(
    `update person set city = city || '.' where revision = (select max(revision) from person)`,
    /person \d+: change \d+ has other content/,
  );
  const deleted = deletedEvent(ledger);
  await corrupt(
    `insert into event (connection, position, kind) values (${deleted.split('/').join(', ')}, 'back')`,
    /event .*: was deleted, but is there/,
  );
  expect((await writer('check', pair.source, '--ledger', ledger)).code).toBe(0);
});

test('SIGTERM finishes open transactions; a writer killed with SIGKILL leaves a consistent ledger', async () => {
  await using pair = await freshPair();
  const ledger = ledgerFile();
  await writer(pair.source, '--rows', '500', '--rate', '0');
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', PROGRAM, 'writer', pair.source, '--rate', '2000', '--ledger', ledger],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    const ended = once(child, 'exit');
    await until('the writer to write', () => /^1 s: [1-9]/m.test(out));
    child.kill(signal);
    await ended;
    if (signal === 'SIGTERM') {
      expect(child.exitCode).toBe(0);
      expect(out).toMatch(/wrote \d+ changes/);
    }
    const check = await writer('check', pair.source, '--ledger', ledger);
    expect(check.code, check.out).toBe(0);
  }
});

test('connections ended by the server are reopened, and the ledger stays consistent', async () => {
  await using pair = await freshPair();
  const ledger = ledgerFile();
  const words = ['--rows', '500', '--rate', '1000', '--duration', '5', '--ledger', ledger];
  const running = writer(pair.source, ...words);
  await until('the writer to write', async () => {
    const rows = await pair.sourceClient.query(
      `select from pg_class where relname = 'note' union all
       select from pg_stat_activity where application_name = 'walferry-writer' and query = 'commit'`,
    );
    return rows.rows.length > 1;
  });
  for (let round = 0; round < 10; round++) {
    await pair.sourceClient.query(
      `select pg_terminate_backend(pid), pg_sleep(0.1) from pg_stat_activity where application_name = 'walferry-writer'`,
    );
  }
  const run = await running;
  expect(run, run.err).toMatchObject({ code: 0 });
  expect(run.out).toContain('database unreachable');
  const check = await writer('check', pair.source, '--ledger', ledger);
  expect(check.code, check.out).toBe(0);
});

test('mistakes end with code 2 and one clear message', async () => {
  const service = await writer('no_such_service');
  expect(service.code).toBe(2);
  expect(service.err).toContain('no_such_service');
  const rate = await writer('source', '--rate', 'fast');
  expect(rate.code).toBe(2);
  expect(rate.err).toContain('must be a whole number');
  await using pair = await freshPair();
  await writer(pair.source, '--rows', '10', '--rate', '0');
  const ledger = ledgerFile();
  writeFileSync(ledger, 'no ledger\n{"serial":"1","outcome":"committed"}\n');
  const check = await writer('check', pair.source, '--ledger', ledger);
  expect(check.code).toBe(2);
  expect(check.err).toContain('line 1: not a line of a ledger');
  expect((await writer('--help')).out).toContain('Exit codes');
});

test('tables of someone else are neither written nor dropped', async () => {
  await using pair = await freshPair();
  await pair.sourceClient.query(`create table person (id integer); insert into person values (1)`);
  const run = await writer(pair.source, '--rows', '10', '--rate', '0');
  expect(run.code).toBe(2);
  expect(run.err).toContain('that the writer did not create');
  const rows = await pair.sourceClient.query('select * from person');
  expect(rows.rows).toEqual([{ id: 1 }]);
});

/** The key of an event that a committed transaction deleted. */
function deletedEvent(ledger: string): string {
  const sent = new Map<string, string>();
  for (const text of readFileSync(ledger, 'utf8').split('\n')) {
    const serial = /"serial":"([^"]+)"/.exec(text)?.[1] ?? '';
    const key = /"table":"event","operation":"delete","key":"([^"]+)"/.exec(text)?.[1];
    if (key !== undefined) sent.set(serial, key);
    if (text.includes('"outcome":"committed"') && sent.has(serial)) return sent.get(serial) ?? '';
  }
  throw new Error('the ledger holds no deleted event; let the writer run longer');
}

test('the writer passes no fence, unlike the sessions of walferry', async () => {
  await using db = await freshPair();
  await using session = await new Database(db.source).connect();
  const { rows } = await session.query(`select current_setting('walferry.apply', true) as passes`);
  expect(rows).toEqual([{ passes: 'off' }]);
});
