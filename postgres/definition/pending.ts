/**
 * What the target does not have yet on purpose: what the indexes', constraints' and last steps build, triggers that are disabled while
 * changes are applied, and row security that would hide rows from them. It is compared as it will be after the cutover.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { readChecks } from '../store/check-entry.ts';
import { readWaitingGrants } from '../store/grant-entry.ts';
import { readClones } from '../store/disabled-clone.ts';
import { readDisabledTriggers } from '../store/disabled-trigger.ts';
import { readWaitingRowSecurity } from '../store/row-security-entry.ts';
import { readWaiting } from '../store/schema-entry.ts';
import { readViewsToFill } from '../store/view-entry.ts';
import { keyOfFact, type Both, type Fact } from './fact.ts';

export interface Pending {
  /** Schema and pg_dump's tag of entries that are not built yet. */
  readonly unbuilt: ReadonlySet<string>;
  /** The same for comments that are not written yet: what they are about. */
  readonly commented: ReadonlySet<string>;
  /** Whether default privileges are still to come. */
  readonly defaults: boolean;
  /** Schema and tag of objects whose rights get their last form after the cutover. */
  readonly granted: ReadonlySet<string>;
  /** Schema and name of check constraints that are added at the end of the cutover: an inherited one has the name of its parent's. */
  readonly checks: ReadonlySet<string>;
  /** The same for those that may stay NOT VALID there. */
  readonly unvalidated: ReadonlySet<string>;
  /** Objects ({@link Fact.object}) whose state on the target is temporary, with the state to come; null: the source's. */
  readonly states: ReadonlyMap<string, string | null>;
  /** Materialized views ({@link Fact.object}) that a later step fills, or that the operator chose not to fill. */
  readonly unfilled: ReadonlySet<string>;
}

/** When the migration is over. */
export const NOTHING_PENDING: Pending = {
  ...{ unbuilt: new Set(), commented: new Set(), defaults: false, granted: new Set() },
  ...{ checks: new Set(), unvalidated: new Set(), states: new Map(), unfilled: new Set() },
};

const STATES: Readonly<Record<string, string>> = {
  O: 'enabled',
  A: 'enabled always',
  R: 'enabled for replicas',
  D: 'disabled',
};

export async function readPending(target: pg.ClientBase, migration: Migration): Promise<Pending> {
  const entries = [
    ...(await readWaiting(target, migration.id, 'indexes')),
    ...(await readWaiting(target, migration.id, 'constraints')),
  ];
  const grants = await readWaitingGrants(target, migration);
  const all = await readChecks(target, migration, 'all');
  const waiting = (await readChecks(target, migration, 'waiting')).filter(
    ({ refused }) => !refused,
  );
  const secured = await readWaitingRowSecurity(target, migration);
  return {
    unbuilt: new Set([
      // Row security has the tag of its table, default privileges one for all.
      ...entries.flatMap(({ kind, schema, name }) =>
        kind === 'ROW SECURITY' ? [] : [tagKey(schema, name)],
      ),
      ...secured.map(({ schema, name }) => tagKey(schema, `${name} security`)),
    ]),
    commented: new Set(
      entries.flatMap(({ kind, schema, name }) =>
        kind === 'COMMENT' ? [tagKey(schema, name.replace(/^[A-Z ]+ /, ''))] : [],
      ),
    ),
    defaults: entries.some(({ kind }) => kind === 'DEFAULT ACL'),
    granted: new Set(
      grants.map(({ schema, name }) => tagKey(schema, name.replace(/^[A-Z ]+ /, ''))),
    ),
    checks: new Set(waiting.map(({ schema, constraint }) => tagKey(schema, constraint))),
    unvalidated: new Set(all.map(({ schema, constraint }) => tagKey(schema, constraint))),
    states: await readStates(target, migration),
    unfilled: new Set(
      (await readViewsToFill(target, migration)).map(({ schema, name }) => `${schema}.${name}`),
    ),
  };
}

/** {@link Pending.states} of the side that a migration writes to. */
export async function readStates(
  target: pg.ClientBase,
  migration: Migration,
): Promise<Pending['states']> {
  const states = new Map<string, string | null>();
  for (const { schema_name, table_name, kind, name, state, made } of [
    ...(await readDisabledTriggers(target, migration, false)),
    ...(await readClones(target, migration)),
  ]) {
    const object =
      kind === 'event trigger'
        ? `${kind} ${quoted(name)}`
        : `${schema_name}.${table_name}: ${kind} ${name}`;
    states.set(object, made ? null : (STATES[state] ?? state));
  }
  return states;
}

/** `pg_identify_object` quotes where necessary. */
function quoted(name: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

export function tagKey(schema: string | null, tag: string): string {
  return JSON.stringify([schema ?? '', tag]);
}

const INDEX = /^using index /;
const CONSTRAINT = /(?:^|: |\bof |\bon )constraint (.+)$/;

/** Both sides as they will be after the cutover: without objects that get their form later, and what belongs to these. */
export function afterwards(pending: Pending, { source, target }: Both): Both {
  const all = [...source, ...target].filter((fact) => isPending(pending, fact));
  // One side alone may show that a fact waits: the target's replica identity does not name the index that is missing.
  const later = new Set(all.map(keyOfFact));
  const objects = new Set(all.filter(({ what }) => what === '').map(({ object }) => object));
  const isNow = (fact: Fact) =>
    !later.has(keyOfFact(fact)) &&
    !objects.has(fact.object) &&
    (fact.under === null || !objects.has(fact.under));
  const here = new Map(source.map((fact) => [keyOfFact(fact), fact]));
  return {
    source: source.filter(isNow),
    target: target.filter(isNow).map((fact) => withState(pending, fact, here.get(keyOfFact(fact)))),
  };
}

function isPending(pending: Pending, { schema, tag, object, what, text }: Fact): boolean {
  if (pending.unbuilt.has(tagKey(schema, tag))) return true;
  // A view that pg_dump creates in two steps, and a comment that follows its object.
  if (what === 'definition' && pending.unbuilt.has(tagKey(schema, `${tag} _RETURN`))) return true;
  if (what === 'comment' && pending.commented.has(tagKey(schema, tag))) return true;
  if (what === 'replica identity')
    return pending.unbuilt.has(tagKey(schema, text.replace(INDEX, '')));
  if (object.startsWith('default privileges ')) return pending.defaults;
  if (what === 'rights of its owner' && pending.granted.has(tagKey(schema, tag))) return true;
  if (what === 'contents') return pending.unfilled.has(object);
  const constraint = CONSTRAINT.exec(what)?.[1] ?? CONSTRAINT.exec(object)?.[1];
  if (constraint === undefined) return false;
  const key = tagKey(schema, constraint);
  return pending.checks.has(key) || (what.startsWith('state') && pending.unvalidated.has(key));
}

/** A trigger that is disabled while changes are applied gets its state back. */
function withState(pending: Pending, fact: Fact, source: Fact | undefined): Fact {
  if (fact.what !== 'state' || !pending.states.has(fact.object)) return fact;
  return { ...fact, text: pending.states.get(fact.object) ?? source?.text ?? fact.text };
}
