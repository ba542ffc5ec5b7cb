/**
 * One real migration for all cases that can share one: Temporal, a worker process, the operator's commands. Changes
 * "during the copy" are written while every run of the copy is held between the plan and its first chunk.
 */
import pg from 'pg';
import * as v from 'valibot';
import { expect } from 'vitest';
import { HOLD_LOCK } from '../../../postgres/snapshot/test-hold.ts';
import { connectTo } from '../database.ts';
import type { Places } from '../database.ts';
import { Lab } from '../lab.ts';
import { compareCase, MORE, schemasOf } from './comparison.ts';
import { PIN } from './catalog.ts';
import type { Outcome } from './outcome.ts';
import { countRows, readTables } from './rows.ts';
import { ROLES, Stage } from './stage.ts';
import type { FidelityCase } from './case.ts';
import { oneByOneOf, readOneByOne } from './way.ts';
import { verifyMigration } from './verification.ts';
import { untilApplied, untilPlanned, untilSlotWaits } from './wait.ts';

/**
 * Counts the changes after the snapshot; test_decoding ships with the server and shares nothing with wal2json.
 */
const COUNTER = 'fidelity_counter';

const LOG_TAIL_LINES = 40;

class Exhibit {
  readonly fidelityCase: FidelityCase;
  readonly source: Stage;
  readonly target: Stage;
  readonly wrong: string[] = [];
  copied: number | null = null;
  streamed: number | null = null;

  constructor(fidelityCase: FidelityCase, lab: Lab) {
    this.fidelityCase = fidelityCase;
    this.source = new Stage(fidelityCase, lab.pair.source);
    this.target = new Stage(fidelityCase, lab.pair.target);
  }

  /** Runs the next step unless an earlier one failed; a failure belongs to this case only. */
  async attempt(body: () => Promise<void>): Promise<void> {
    if (this.wrong.length > 0) return;
    try {
      await body();
    } catch (error) {
      this.wrong.push(messageOf(error));
      await this.source.withdraw();
      await this.target.withdraw();
    }
  }

  get hasWaiting(): boolean {
    return this.wrong.length === 0 && this.fidelityCase.sections.starting.length > 0;
  }
}

/** Cases that can go through one migration. */
export function groupCases(cases: readonly FidelityCase[]): FidelityCase[][] {
  const groups = new Map<string, FidelityCase[]>();
  for (const fidelityCase of cases) {
    // All tables exist on the target before, or none: preflight refuses a mixture.
    const own = fidelityCase.sections.target.length > 0;
    const key = JSON.stringify([own, fidelityCase.encodings, fidelityCase.input]);
    groups.set(key, [...(groups.get(key) ?? []), fidelityCase]);
  }
  return [...groups.values()];
}

/**
 * Takes the cases, which share one group, through a migration. A case that stops the migration fails, and the others go
 * through another one without it.
 * @param places servers other than the run's.
 */
export async function migrateGroup(
  cases: readonly FidelityCase[],
  places: Places = {},
): Promise<Outcome[]> {
  const [first] = cases;
  if (!first) return [];
  const { outcomes, stopped } = await migrateOnce(cases, first, places);
  if (stopped === null) return outcomes;
  const others = cases.filter((fidelityCase) => !isNamedIn(stopped, fidelityCase));
  // No case is to blame, or none remains: all that is known is that the migration stopped.
  if (others.length === 0 || others.length === cases.length) return outcomes;
  const blamed = outcomes.filter(
    ({ name }) => !others.some((fidelityCase) => fidelityCase.name === name),
  );
  return [...blamed, ...(await migrateGroup(others, places))];
}

async function migrateOnce(
  cases: readonly FidelityCase[],
  { encodings, input }: FidelityCase,
  places: Places,
): Promise<{ outcomes: Outcome[]; stopped: string | null }> {
  await using lab = await Lab.open('', places, encodings);
  const worker = await lab.worker({
    name: 'fidelity',
    env: { WALFERRY_HOLDPOINT: 'before-chunks' },
  });
  const exhibits = cases.map((fidelityCase) => new Exhibit(fidelityCase, lab));
  let stopped: string | null = null;
  try {
    await migrate(lab, exhibits, input);
  } catch (error) {
    stopped = messageOf(error);
  }
  if (stopped === null) await compareAll(lab, exhibits);
  for (const { source, target } of exhibits) {
    await source[Symbol.asyncDispose]();
    await target[Symbol.asyncDispose]();
  }
  const changes = readOneByOne(worker.log());
  const outcomes = exhibits.map(({ fidelityCase, copied, streamed, wrong }): Outcome => {
    const details = stopped === null ? wrong : [...wrong, blame(fidelityCase, stopped)];
    const result = details.length === 0 ? 'equal' : 'different';
    const { changes: oneByOne, refused } = oneByOneOf(changes, fidelityCase.name);
    return { name: fidelityCase.name, copied, streamed, oneByOne, refused, result, details };
  });
  if (outcomes.some(({ result }) => result === 'different')) {
    const tail = worker.log().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    process.stderr.write(`--- end of the worker's log ---\n${tail}\n`);
  }
  return { outcomes, stopped };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether the message names something in one of the case's schemas. */
function isNamedIn(message: string, { name }: FidelityCase): boolean {
  return new RegExp(`(?<![a-z0-9_])${name}(${MORE}\\w+)?"?\\.`).test(message);
}

function blame(fidelityCase: FidelityCase, stopped: string): string {
  return isNamedIn(stopped, fidelityCase)
    ? `this case stopped the migration: ${stopped}`
    : `not compared, because the migration stopped: ${stopped}`;
}

async function migrate(lab: Lab, exhibits: readonly Exhibit[], input: FidelityCase['input']) {
  const { sourceClient, targetClient } = lab.pair;
  await sourceClient.query(ROLES);
  await targetClient.query(ROLES);
  await using hold = await connectTo(lab.pair.target);
  await hold.query(/* sql */ `select pg_advisory_lock(${HOLD_LOCK})`);
  for (const one of exhibits) {
    await one.attempt(async () => {
      await one.source.begin();
      await one.source.run(one.fidelityCase.sections.schema);
      if (!one.hasWaiting) await one.source.expectNothingOpen('schema');
      if (one.fidelityCase.sections.target.length > 0) {
        await one.target.begin();
        await one.target.run(one.fidelityCase.sections.target);
        await one.target.expectNothingOpen('target');
      }
    });
    // An incomplete case would stop the migration of the others.
    if (one.wrong.length > 0) await dropCase(lab, one.fidelityCase);
  }
  await lab.start(input);
  const waiting = exhibits.filter(({ hasWaiting }) => hasWaiting);
  if (waiting.length > 0) await untilSlotWaits(lab);
  for (const one of waiting) {
    await one.attempt(async () => {
      await one.source.run(one.fidelityCase.sections.starting);
      await one.source.expectNothingOpen('starting');
    });
  }
  await untilPlanned(lab);
  // Nothing changed since the snapshot: the present rows are what will be copied.
  for (const one of exhibits) {
    await one.attempt(async () => {
      const schemas = await schemasOf(sourceClient, one.fidelityCase);
      one.copied = await countRows(sourceClient, await readTables(sourceClient, schemas));
    });
  }
  await sourceClient.query(
    /* sql */ `select pg_create_logical_replication_slot('${COUNTER}', 'test_decoding')`,
  );
  for (const one of exhibits) {
    await one.attempt(() => one.source.run(one.fidelityCase.sections.copying));
  }
  await hold.query(/* sql */ `select pg_advisory_unlock(${HOLD_LOCK})`);
  await lab.phase('stream');
  for (const one of exhibits) {
    await one.attempt(async () => {
      await one.source.run(one.fidelityCase.sections.streaming, () => untilApplied(lab));
      await one.source.expectNothingOpen('streaming');
    });
  }
  await expectNothingPrepared(lab);
  await countChanges(sourceClient, exhibits);
  // The migration reports what is wrong with the stream, not a cutover that waits for it.
  await untilApplied(lab);
  const reported = await verifyMigration(lab, input);
  for (const one of exhibits) {
    one.wrong.push(...reported.filter((text) => isNamedIn(text, one.fidelityCase)));
  }
  if (exhibits.every(({ wrong }) => wrong.length === 0)) expect(reported).toEqual([]);
  const answer = await lab.update('cutover');
  if (answer.code !== 0) throw new Error(`cutover: ${answer.stderr}${answer.stdout}`);
  const { status, text } = await lab.ending();
  if (status !== 'COMPLETED') throw new Error(`the workflow is ${status}: ${text}`);
  // A difference that the migration itself made, or that is none: no case changes a definition on one side.
  for (const line of differencesIn(text)) {
    const named = exhibits.filter(({ fidelityCase }) => isNamedIn(line, fidelityCase));
    for (const { fidelityCase, wrong } of named.length > 0 ? named : exhibits) {
      // Its own tables on the target differ on purpose.
      if (fidelityCase.sections.target.length === 0) wrong.push(`reported: ${line}`);
    }
  }
  await lab.expectNothingLeft();
}

const endedWith = v.object({
  result: v.object({ differences: v.optional(v.array(v.string()), []) }),
});

/** What the closing summary says of definitions. @param text of `temporal workflow result -o json`. */
function differencesIn(text: string): readonly string[] {
  return v.parse(v.pipe(v.string(), v.parseJson(), endedWith), text).result.differences;
}

/** Drops what a case created before the migration began, on both sides. */
async function dropCase({ pair }: Lab, fidelityCase: FidelityCase): Promise<void> {
  for (const client of [pair.sourceClient, pair.targetClient]) {
    for (const schema of await schemasOf(client, fidelityCase)) {
      await client.query(`drop schema ${pg.escapeIdentifier(schema)} cascade`);
    }
  }
}

/**
 * A transaction whose name belongs to no case would make the cutover fail, and every case would be blamed.
 */
async function expectNothingPrepared({ pair }: Lab): Promise<void> {
  for (const client of [pair.sourceClient, pair.targetClient]) {
    const { rows } = await client.query<{ gid: string }>(
      /* sql */ `select gid from pg_prepared_xacts where database = current_database()`,
    );
    const [open] = rows;
    if (open) {
      throw new Error(
        `the prepared transaction "${open.gid}" is still open: begin its name with that of its case`,
      );
    }
  }
}

/** Gives each case the number of changes that the source logged for its schemas, and drops the counting slot. */
async function countChanges(client: pg.Client, exhibits: readonly Exhibit[]): Promise<void> {
  const { rows } = await client.query<{ schema: string; n: string }>(/* sql */ `
    select substring(left(data, 200) from '^table "?([a-z0-9_]+)') as schema, count(*) as n
      from pg_logical_slot_get_changes('${COUNTER}', null, null)
     where left(data, 6) = 'table ' group by 1`);
  await client.query(/* sql */ `select pg_drop_replication_slot('${COUNTER}')`);
  for (const one of exhibits) {
    one.streamed = rows
      .filter(
        ({ schema }) =>
          schema === one.fidelityCase.name || schema.startsWith(one.fidelityCase.name + MORE),
      )
      .reduce((sum, { n }) => sum + Number(n), 0);
  }
}

async function compareAll(lab: Lab, exhibits: readonly Exhibit[]): Promise<void> {
  await using source = await connectTo(lab.pair.source);
  await using target = await connectTo(lab.pair.target);
  await source.query(PIN);
  await target.query(PIN);
  for (const one of exhibits) {
    await one.attempt(async () => {
      one.wrong.push(...(await compareCase(one.fidelityCase, source, target)));
    });
  }
}
