/**
 * The schema rehearsal: runs the statements of copySchema and of the steps after the rows on the target and rolls them back. It
 * finds what the target refuses before hours of copying: owners without privileges, views on changed catalogs, event triggers,
 * functions that do not resolve names.
 *
 * Tables are empty here, so it does not find errors caused by rows.
 */
import { rolledBack } from '../../connection/in-transaction.ts';
import type pg from 'pg';
import type { MigrationInput } from '../../../contract/input-schema.ts';
import type { Migration } from '../../../contract/migration.ts';
import type { Work } from '../../../contract/work.ts';
import { Defaults } from '../../connection/defaults.ts';
import { connect } from '../../connection/connect.ts';
import { classify } from '../../connection/failure.ts';
import { createStore } from '../../store/upgrade.ts';
import { batchSize } from '../../schema/schema-batch.ts';
import { nameCheck } from '../../archive/deferred-check.ts';
import { findPresent } from '../../schema/existing.ts';
import { creations } from '../../archive/existing-object.ts';
import { planSchema } from '../../dump/schema-plan.ts';
import { refuseUncreatable } from '../../schema/schema-refusal.ts';
import { SourceSchema } from '../../dump/source-schema.ts';
import { prepareSession } from '../../session/ddl-failure.ts';
import { OutOfLocks } from '../../dump/lock-table-full.ts';
import { Found } from './found.ts';
import { grouping } from './group.ts';
import type { RehearsalFacts } from './rehearsal-facts.ts';
import { tryGroup } from './trial.ts';
import { WatchedTriggers } from './watched-trigger.ts';

/** Time limit for large schemas, so that preflight answers soon. */
const LIMIT_MS = 60_000;
const LIMITS = { statementTimeoutMs: 60_000, lockTimeoutMs: 10_000 };

/** Throws only for `signal`; returns any other failure as a fact. */
export async function rehearse(
  migration: Migration,
  input: MigrationInput,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<RehearsalFacts> {
  const found = new Found();
  try {
    const { plan, together } = await readPlan(migration, input, work);
    found.together = together;
    refuseUncreatable(plan);
    found.checks = plan.checks.map((one) => ({
      name: nameCheck(one),
      functions: one.check.functions,
    }));
    await using client = await connect(migration.target, 'preflight', {
      ...LIMITS,
      signal: work.signal,
    });
    await prepareSession(client);
    const present = await findPresent(client, plan.kept, plan.mayBeThere);
    const kept = plan.kept.filter(({ id }) => !present.has(id));
    const defaults = await Defaults.read(migration.target, 'preflight', client);
    const until = performance.now() + LIMIT_MS;
    await tryControl(client, migration.target, found);
    const size = await batchSize(client);
    found.whole = kept.length <= size;
    const created = creations(kept);
    for (const group of grouping(kept, size)) {
      if (performance.now() > until) {
        found.untried += kept.filter(
          ({ id }) => !found.tried.has(id) && !found.failed.has(id),
        ).length;
        break;
      }
      await tryGroup(client, group, created, { found, defaults, work });
    }
    return found.facts();
  } catch (error) {
    work.signal.throwIfAborted();
    if (error instanceof OutOfLocks) found.together = error.together;
    return found.facts(classify(error, { step: 'trying the schema', side: 'target' }, 'Internal'));
  }
}

async function readPlan(
  migration: Migration,
  input: MigrationInput,
  work: Pick<Work, 'signal' | 'beat'>,
) {
  await using source = await SourceSchema.open(migration, input, work);
  return await planSchema(source, input, work);
}

/** Event triggers also fire when the control schema is created and dropped. */
async function tryControl(client: pg.Client, service: string, found: Found): Promise<void> {
  return rolledBack(client, async () => {
    const triggers = await WatchedTriggers.read(client);
    if (triggers.none) return;
    const there = await client.query(
      /* sql */ `select from pg_catalog.pg_namespace where nspname = 'walferry'`,
    );
    const create = () => (there.rowCount === 0 ? createStore(client, service) : Promise.resolve());
    const drop = () => client.query(/* sql */ `drop schema if exists walferry cascade`);
    for (const [statements, what] of [
      [create, 'create schema walferry'],
      [drop, 'drop schema walferry'],
    ] as const) {
      const refusal = await triggers.run(client, statements);
      if (refusal !== null) found.blame(refusal.blamed, what);
    }
  });
}
