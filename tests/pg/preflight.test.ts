import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Finding } from '../../contract/finding.ts';
import { parseInput } from '../../contract/input.ts';
import { slotName, type Migration } from '../../contract/migration.ts';
import { inspect } from '../../postgres/preflight/inspect.ts';
import { freshPair } from '../support/database.ts';
import type { FreshPair } from '../support/database.ts';

interface Given {
  readonly source?: string;
  readonly target?: string;
  readonly workflowId?: string;
  readonly input?: Record<string, unknown>;
}

function migrationOf(source: string, target: string, workflowId?: string): Migration {
  const id = randomBytes(8).toString('hex');
  const name = workflowId ?? `wf-${id}`;
  return { id, workflowId: name, source, target, slot: slotName(name, id) };
}

/** Findings of a pair; slots of other tests on the same servers are nobody's business here. */
async function findingsOf(db: FreshPair, given: Given = {}): Promise<Finding[]> {
  const source = given.source ?? db.source;
  const target = given.target ?? db.target;
  const parsed = parseInput({ source, target, ...given.input });
  if (!parsed.ok) throw new Error(parsed.message);
  const findings = await inspect(migrationOf(source, target, given.workflowId), parsed.input);
  return findings.filter(
    ({ code, message }) => code !== 'other-slot' || message.includes(db.source),
  );
}

const CLEAN = /* sql */ `
  create table person (id bigint primary key, name text);
  create table purchase (id bigint generated always as identity primary key, person bigint references person);
  create table event (id bigint, day date, primary key (id, day)) partition by range (day);
  create table event_1 partition of event for values from ('2026-01-01') to ('2027-01-01');
  create view people as select name from person;
  create schema app;
  create table app."Order" (id uuid primary key, note text);
  insert into person values (1, 'x')`;

it('a pair that is ready has no findings', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(CLEAN);
  expect(await findingsOf(db)).toEqual([]);
  const slots = await db.sourceClient.query(
    /* sql */ `select from pg_replication_slots where database = current_database()`,
  );
  expect(slots.rowCount).toBe(0);
});
