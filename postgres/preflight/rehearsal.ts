/**
 * The schema rehearsal: runs the statements of copySchema and of the steps after the rows on the target and rolls them back. It
 * finds what the target refuses before hours of copying: owners without privileges, views on changed catalogs, event triggers,
 * functions that do not resolve names.
 *
 * Tables are empty here, so it does not find errors caused by rows.
 */
import type pg from 'pg';
import type { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { Defaults } from '../connection/defaults.ts';
import { PINNED_FOR_ROWS, setFor } from '../connection/apply-settings.ts';
import { connect } from '../connection/connect.ts';
import { classify, SQLSTATE } from '../connection/failure.ts';
import { batchSize } from '../schema/schema-batch.ts';
import { nameCheck } from '../archive/deferred-check.ts';
import { evaluateFor } from '../schema/evaluate.ts';
import { findPresent } from '../schema/existing.ts';
import type { PlannedEntry } from '../archive/entry-phase.ts';
import {
  aboutOthers,
  carryOver,
  creations,
  isEmptyComment,
  nameOther,
} from '../archive/existing-object.ts';
import { OwnerRights, splitOwner } from '../archive/owner.ts';
import { planSchema } from '../dump/schema-plan.ts';
import { refuseImpossible } from '../schema/impossible.ts';
import { NOT_FOUND, runEntry } from '../schema/run-entry.ts';
import { SourceSchema } from '../dump/source-schema.ts';
import { prepareSession } from '../session/ddl-failure.ts';
import { OutOfLocks, type Together } from '../dump/lock-table-full.ts';
import { attempted } from './attempt.ts';
import { grouping, plainRun, dependsOnFailed } from './rehearsal-group.ts';
import { createsTables, type Facts } from './facts.ts';
import { WatchedTriggers, type Refusal } from './watched-trigger.ts';
import { createStore } from '../store/upgrade.ts';

export interface RefusedObject {
  readonly kind: string;
  readonly schema: string | null;
  readonly name: string;
  readonly state: string;
  /** Null: it could not be created. Otherwise the owner that it could not be transferred to. */
  readonly owner: string | null;
}

export interface RehearsalFacts {
  readonly refused: readonly RefusedObject[];
  /** Owners that lack CREATE on a schema, which our role may not grant them. */
  readonly owners: readonly { readonly schema: string; readonly owner: string }[];
  /** Comments and grants on objects of other roles, described, with the statements of the grants. */
  readonly others: readonly { readonly name: string; readonly grants: string | null }[];
  /** Event triggers of the target that refuse something: with the state to restore, and what they refuse. */
  readonly triggers: readonly BlockingTrigger[];
  /** Check constraints that are added at the cutover. */
  readonly checks: readonly { readonly name: string; readonly functions: readonly string[] }[];
  /** Tables that are dumped together, if more than may be locked at once. */
  readonly together?: Together | null;
  /** Number of entries that were not tried for lack of time. */
  readonly untried: number;
  /** Why the rehearsal was not completed; null if it was. */
  readonly failure: MigrationError | null;
}

export interface BlockingTrigger {
  readonly name: string;
  /** Present state: `enable`, `enable always` or `enable replica`. */
  readonly state: string;
  readonly refused: string;
}

/** Time limit for large schemas, so that preflight answers soon. */
const LIMIT_MS = 60_000;
const LIMITS = { statementTimeoutMs: 60_000, lockTimeoutMs: 10_000 };
/** Covered by their own checks in more detail. */
const ELSEWHERE = new Set(['EXTENSION', 'EVENT TRIGGER']);
/** The server knows every object that they refer to, so pg_dump's dependencies are complete. */
const VIEWS = new Set(['VIEW', 'MATERIALIZED VIEW', 'RULE']);
/** Transient errors, caused by other sessions. */
const PASSING = new Set<string>([
  SQLSTATE.lockNotAvailable,
  SQLSTATE.deadlockDetected,
  SQLSTATE.queryCanceled,
]);

/** Whether walferry will create the schema, and no other finding prevents a rehearsal. */
export function canRehearse({
  source,
  target,
  programs,
}: Pick<Facts, 'source' | 'target' | 'programs'>): boolean {
  if (source === null || target === null || !createsTables(target)) return false;
  if (programs.some(({ major }) => major === null || major < source.major)) return false;
  const roots = source.relations.filter(({ viaRoot }) => viaRoot !== null);
  return (
    source.relations.length > 0 &&
    source.unreadable.length === 0 &&
    source.unreadableSequences.length === 0 &&
    target.mayCreateSchemas &&
    (roots.length === 0 || target.roots.length > 0)
  );
}

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
    refuseImpossible(plan);
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

class Found {
  readonly tried = new Set<number>();
  readonly failed = new Set<number>();
  readonly refused: RefusedObject[] = [];
  readonly owners = new Map<string, { schema: string; owner: string }>();
  readonly others: { name: string; grants: string | null }[] = [];
  readonly triggers = new Map<string, BlockingTrigger>();
  checks: RehearsalFacts['checks'] = [];
  together: Together | null = null;
  untried = 0;
  /** Whether everything is tried in one group. */
  whole = true;

  facts(failure: MigrationError | null = null): RehearsalFacts {
    return {
      refused: this.refused,
      owners: [...this.owners.values()],
      others: this.others,
      triggers: [...this.triggers.values()],
      checks: this.checks,
      together: this.together,
      untried: this.untried,
      failure,
    };
  }

  /** Each trigger once, with the first thing that it refused. */
  blame(triggers: readonly Omit<BlockingTrigger, 'refused'>[], refused: string): void {
    for (const one of triggers) {
      if (!this.triggers.has(one.name)) this.triggers.set(one.name, { ...one, refused });
    }
  }
}

/** Event triggers also fire when the control schema is created and dropped. */
async function tryControl(client: pg.Client, service: string, found: Found): Promise<void> {
  await client.query('begin');
  try {
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
  } finally {
    await client.query('rollback');
  }
}

/** One transaction, rolled back. */
async function tryGroup(
  client: pg.Client,
  group: readonly PlannedEntry[],
  created: ReadonlySet<number>,
  {
    found,
    defaults,
    work,
  }: { found: Found; defaults: Defaults; work: Pick<Work, 'signal' | 'beat'> },
): Promise<void> {
  const stored = (entry: PlannedEntry) => ({ ...entry, depends: entry.dependencies });
  const others = aboutOthers(group.map(stored), created);
  await client.query('begin');
  try {
    const triggers = await WatchedTriggers.read(client);
    const rights = new OwnerRights(client);
    const trial = { found, triggers, rights, defaults };
    for (let at = 0; at < group.length;) {
      work.signal.throwIfAborted();
      work.beat({ step: 'trying the schema on the target', done: at, total: group.length });
      const run = plainRun(group, at, found.failed);
      at += run.length;
      if (run.length > 1 && (await tryTogether(client, run, trial))) continue;
      for (const entry of run) {
        work.signal.throwIfAborted();
        work.beat({ step: 'trying the schema on the target', done: at, total: group.length });
        // Dependents of a failed entry fail for that reason. An event trigger would fire for the rest of the rehearsal, so
        // neither it nor its dependents are tried.
        const untriable = entry.kind === 'EVENT TRIGGER';
        if (untriable || dependsOnFailed(entry, found.failed)) found.failed.add(entry.id);
        if (found.failed.has(entry.id)) continue;
        if (others.has(entry.id)) {
          await rights.takeBack();
          await tryOther(client, entry, trial);
        } else await tryEntry(client, entry, trial);
        found.tried.add(entry.id);
      }
    }
  } finally {
    await client.query('rollback');
  }
}

interface Trial {
  readonly found: Found;
  readonly triggers: WatchedTriggers;
  readonly rights: OwnerRights;
  readonly defaults: Defaults;
}

/** Tries entries in one message, to save a round trip and three savepoints for each. @returns whether all succeeded. */
async function tryTogether(
  client: pg.Client,
  run: readonly PlannedEntry[],
  { found, rights, defaults }: Trial,
): Promise<boolean> {
  const owned = new Map(
    run.map((one) => [JSON.stringify([one.schema, splitOwner(one.sql).owner]), one]),
  );
  for (const one of owned.values()) {
    // Outside the next savepoint, whose rollback would undo the grant.
    if ((await attempted(client, () => rights.lend(one))) !== null) return false;
  }
  const refused = await attempted(client, () =>
    underDefaults(client, run[0], defaults, () =>
      client.query(run.map(({ sql }) => sql).join('\n')),
    ),
  );
  if (refused !== null) return false;
  for (const { id } of run) found.tried.add(id);
  return true;
}

/** Entries after the rows run with the application's defaults: their functions may use unqualified names. */
async function underDefaults(
  client: pg.Client,
  entry: PlannedEntry | undefined,
  defaults: Defaults,
  run: () => Promise<unknown>,
): Promise<void> {
  const late = entry !== undefined && entry.phase !== 'tables';
  if (late) await evaluateFor(client, defaults, { schema: entry.schema, tables: [] });
  await run();
  if (late) await setFor('transaction', client, PINNED_FOR_ROWS);
}

async function tryOther(client: pg.Client, entry: PlannedEntry, trial: Trial): Promise<void> {
  const { found, triggers } = trial;
  let done = true;
  const refusal = await triggers.run(client, async () => {
    done = await carryOver(client, entry.sql);
  });
  if (refusal !== null) note(entry, refusal, null, found);
  else if (!done && !isEmptyComment(entry) && !found.tried.has(entry.id)) {
    const grants = entry.kind === 'ACL' ? entry.sql.replaceAll('\n', ' ') : null;
    found.others.push({ name: nameOther(entry), grants });
  }
}

/** Creates the object, then sets its owner; the fix depends on which of the two is refused. */
async function tryEntry(
  client: pg.Client,
  entry: PlannedEntry,
  { found, triggers, rights, defaults }: Trial,
): Promise<void> {
  const { made, handed, owner } = splitOwner(entry.sql);
  const refusal = await triggers.run(client, () =>
    underDefaults(client, entry, defaults, () => runEntry(client, { ...entry, sql: made }, rights)),
  );
  if (refusal !== null) note(entry, refusal, null, found);
  if (refusal?.done === false) return;
  if (handed === null || owner === null) return;
  const lent = await triggers.run(client, () => rights.lend(entry));
  if (lent !== null && entry.schema !== null) {
    const pair = { schema: entry.schema, owner };
    found.owners.set(JSON.stringify(pair), pair);
    return;
  }
  const denied = await triggers.run(client, () => client.query(handed));
  if (denied !== null) note(entry, denied, owner, found);
}

function note(entry: PlannedEntry, refusal: Refusal, owner: string | null, found: Found): void {
  const { id, kind, schema, name } = entry;
  if (refusal.blamed.length > 0) {
    found.blame(refusal.blamed, `${kind} ${schema === null ? '' : `${schema}.`}${name}`);
    if (!refusal.done) found.failed.add(id);
    return;
  }
  if (owner === null) found.failed.add(id);
  // Function bodies refer to objects that are no recorded dependency, so these may be in another group.
  const elsewhere = !found.whole && NOT_FOUND.has(refusal.state) && !VIEWS.has(kind);
  if (elsewhere || PASSING.has(refusal.state)) found.untried += 1;
  else if (!ELSEWHERE.has(kind) && !found.tried.has(id)) {
    found.refused.push({ kind, schema, name, state: refusal.state, owner });
  }
}
