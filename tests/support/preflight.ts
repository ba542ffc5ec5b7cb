/** Preflight over real databases: its findings for a pair, its own advice followed, and roles with few rights. */
import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import type pg from 'pg';
import type { Finding } from '../../contract/finding.ts';
import { parseInput } from '../../contract/input.ts';
import { slotName } from '../../contract/slot-name.ts';
import { type Migration } from '../../contract/migration.ts';
import { inspect } from '../../postgres/preflight/inspect.ts';
import { LOOPBACK } from '../../scripts/local/cluster/port.ts';
import { addService, connectTo } from './database.ts';
import type { FreshPair } from './database.ts';
import { until } from './until.ts';

export interface Given {
  readonly source?: string;
  readonly target?: string;
  readonly workflowId?: string;
  /** Instead of a new migration. */
  readonly migration?: Migration;
  /** Whether the test is about open transactions. */
  readonly busy?: boolean;
  readonly input?: Record<string, unknown>;
}

export function migrationOf(source: string, target: string, workflowId?: string): Migration {
  const id = randomBytes(8).toString('hex');
  const name = workflowId ?? `wf-${id}`;
  return { id, workflowId: name, source, target, slot: slotName(name, id) };
}

/** Findings whose causes may be in the database of another test. */
const OF_THE_SERVER = new Set([
  ...['other-slot', 'prepared-transactions'],
  // The test servers are throw-away.
  ...['source-not-durable', 'target-not-durable'],
]);

/** Findings of a pair; slots of other tests on the same servers are ignored. */
export async function findingsOf(db: FreshPair, given: Given = {}): Promise<Finding[]> {
  const source = given.source ?? db.source;
  const target = given.target ?? db.target;
  // Most tests are about something else; `fence: undefined` asks for the default.
  const parsed = parseInput({ source, target, fence: 'none', ...given.input });
  if (!parsed.ok) throw new Error(parsed.message);
  const migration = given.migration ?? migrationOf(source, target, given.workflowId);
  // A slot waits for the transactions of the whole cluster, and other tests sometimes have open ones.
  const findings = await until('a moment without open transactions', async () => {
    const found = await inspect(migration, parsed.input);
    return given.busy === true || !codes(found).includes('open-transactions') ? found : null;
  });
  return findings.filter(
    ({ code, message }) => !OF_THE_SERVER.has(code) || message.includes(db.source),
  );
}

export const codes = (findings: readonly Finding[]): string[] => findings.map(({ code }) => code);

/** The one finding with this code; the others are part of the failure's text. */
export function only(findings: readonly Finding[], code: string): Finding {
  const [found, ...more] = findings.filter((finding) => finding.code === code);
  if (!found || more.length > 0) throw new Error(`${code}: found ${JSON.stringify(findings)}`);
  return found;
}

/** Does what a finding says: its SQL statements, one after another. */
export async function follow(client: pg.Client, { action }: Finding): Promise<void> {
  const sql = [...action.matchAll(/(?:alter|grant|create|drop|truncate) [^;]+;/g)].map(
    ([one]) => one,
  );
  expect(sql, action).not.toEqual([]);
  for (const statement of sql) await client.query(statement);
}

/**
 * A role with a password and its own service for one side of a pair; removed at the end of the scope.
 */
export async function loginOn(
  db: FreshPair,
  side: 'source' | 'target',
  attributes = '',
): Promise<{ service: string; role: string } & AsyncDisposable> {
  const client = side === 'source' ? db.sourceClient : db.targetClient;
  const database = side === 'source' ? db.source : db.target;
  const role = `role_${randomBytes(5).toString('hex')}`;
  const password = randomBytes(8).toString('hex');
  await client.query(`create role ${role} login ${attributes} password '${password}'`);
  const { port } = client;
  addService(role, { host: LOOPBACK, port: String(port), dbname: database, user: role, password });
  return {
    service: role,
    role,
    [Symbol.asyncDispose]: async () => {
      await using again = await connectTo(database);
      await again.query(`drop owned by ${role}; drop role ${role}`);
    },
  };
}

export const CLEAN = /* sql */ `
  create table person (id bigint primary key, name text);
  create table purchase (id bigint generated always as identity primary key, person bigint references person);
  create table event (id bigint, day date, primary key (id, day)) partition by range (day);
  create table event_1 partition of event for values from ('2026-01-01') to ('2027-01-01');
  create view people as select name from person;
  create schema app;
  create table app."Order" (id uuid primary key, note text);
  insert into person values (1, 'x')`;
