/** Objects that the target refused in the rehearsal: known causes with their fix, all others by name. */
import { SQLSTATE } from '../../connection/failure.ts';
import { grantCreate } from '../../archive/owner.ts';
import { describeTogether, OutOfLocks, raiseSetting } from '../../dump/lock-table-full.ts';
import type { RefusedObject, RehearsalFacts } from '../rehearsal/rehearsal-facts.ts';
import { counted, identifier, list, statements } from '../wording.ts';
import {
  defineCheck,
  raising,
  refuses,
  refusesOrWarns,
  warns,
  type Values,
  type Found,
} from '../check.ts';
import { ignored } from '../facts/ignored-object.ts';
import { missingCollations } from '../facts/missing-collation.ts';
import { taken } from '../facts/taken-name.ts';

const { codes, error, warning, note } = raising({
  'schema-untried': {
    levels: ['error', 'warning', 'note'],
    meaning: 'All or part of the schema could not be tried on the target.',
  },
  'source-lock-table': refusesOrWarns(
    "pg_dump needs more locks at once than the source's lock table has, or more than half of them.",
  ),
  'target-event-trigger-blocks': refuses(
    'Event triggers on the target block statements of walferry (tried and rolled back).',
  ),
  'owner-create': refuses('New owners lack CREATE on the schema of their objects.'),
  'object-refused': refuses('The target refuses objects of the schema (tried and rolled back).'),
  'not-owned': warns(
    'Comments and grants on objects of other roles, or on objects missing on the target, are not moved.',
  ),
  'check-deferred': warns(
    'Constraints that read more than their row, or are NOT VALID, are added NOT VALID at the cutover.',
  ),
});

const ofTarget = { taken, missingCollations };

export const triedSchema = defineCheck({
  codes,
  source: { ignored },
  target: ofTarget,
  find: (facts, refused) => {
    const { rehearsal: tried } = facts;
    if (tried === null) return [];
    return [
      failure(facts.source?.ignored.needed ?? [], tried),
      locks(tried),
      triggers(tried),
      owners(facts.target?.role.name ?? '', tried),
      refusing(tried.refused.filter(isUnexplained(facts.target, refused))),
      others(tried),
      checks(tried),
      untried(tried),
    ];
  },
});

function failure(needed: readonly string[], { failure: reason }: RehearsalFacts): Found {
  // A needed extension has its own, more detailed finding.
  if (reason === null || needed.length > 0) return [];
  // So does a small lock table.
  if (reason instanceof OutOfLocks) return [];
  const message = `the schema could not be tried on the target: ${reason.message}`;
  return reason.code === 'Contention' || reason.code === 'Unreachable'
    ? [warning('schema-untried', message, 'Run preflight again to see what the target refuses.')]
    : [
        error(
          'schema-untried',
          message,
          'Fix the cause, or the migration will fail in the same way.',
        ),
      ];
}

function locks({ together = null, failure: reason }: RehearsalFacts): Found {
  if (together === null) return [];
  const action = `${raiseSetting(together)}.`;
  const need = describeTogether(together);
  return reason instanceof OutOfLocks
    ? [
        error(
          'source-lock-table',
          `the source's lock table is too small: ${need}`,
          `On the source: ${action}`,
        ),
      ]
    : [
        warning(
          'source-lock-table',
          `${need}, which is more than half of the source's lock table: other sessions may fail with 53200 (out of shared memory) during the dump`,
          `To be safe, on the source: ${action}`,
        ),
      ];
}

function triggers({ triggers: blocking }: RehearsalFacts): Found {
  if (blocking.length === 0) return [];
  const alter = (name: string, how: string) => `alter event trigger ${identifier(name)} ${how}`;
  return error(
    'target-event-trigger-blocks',
    `event triggers on the target block statements of walferry (tried and rolled back): ${list(blocking.map(({ name, refused: what }) => `${name} (${what})`))}`,
    `On the target, disable them until the migration ends: ${statements(blocking.map(({ name }) => alter(name, 'disable')))} Then enable them again: ${statements(blocking.map(({ name, state }) => alter(name, state)))}`,
  );
}

function owners(role: string, { owners: pairs }: RehearsalFacts): Found {
  if (pairs.length === 0) return [];
  return error(
    'owner-create',
    `owners lack CREATE on the schema of their objects, and role ${role} may not grant it: ${list(pairs.map(({ schema, owner }) => `${owner} (schema ${schema})`))}`,
    `On the target, as the schema's owner: ${statements(pairs.map(({ schema, owner }) => grantCreate(schema, owner)))} Or set "schema": {"owners": false} in the input.`,
  );
}

/** Not if another check's finding explains it. */
function isUnexplained(
  target: Values<typeof ofTarget> | null,
  found: ReadonlySet<string>,
): (object: RefusedObject) => boolean {
  const rights = ['target-schema', 'role-not-member', 'default-privileges'];
  const clash = (target?.taken.length ?? 0) > 0;
  return ({ state }) => {
    if (state === SQLSTATE.insufficientPrivilege) return !rights.some((code) => found.has(code));
    if (state === SQLSTATE.undefinedObject) {
      return !found.has('role-missing') && (target?.missingCollations.length ?? 0) === 0;
    }
    if (state === INHERITED && found.has('nullable-child')) return false;
    return !(clash && TAKEN.has(state));
  };
}

/** Duplicate relation, object, function, schema. */
const TAKEN = new Set(['42P07', '42710', '42723', '42P06']);
/** invalid_table_definition: a child's inherited NOT NULL cannot be dropped. */
const INHERITED = '42P16';
/** Kinds that "tables.exclude" can exclude, together with their dependents. */
const EXCLUDABLE = new Set(['VIEW', 'MATERIALIZED VIEW', 'SEQUENCE']);
/** Longer than other lists, because the operator has to copy all names into the input. */
const MOST = 100;

function refusing(objects: readonly RefusedObject[]): Found {
  const isView = ({ kind, owner }: RefusedObject) => EXCLUDABLE.has(kind) && owner === null;
  const views = objects.filter(isView);
  const rest = objects.filter((one) => !isView(one));
  return [
    views.length > 0 &&
      error(
        'object-refused',
        `the target refuses to create these objects (tried and rolled back), for example views that use catalog columns or functions missing in its version: ${all(views.map(named))}`,
        `Exclude them and their dependents: "tables": {"exclude": ${JSON.stringify(views.slice(0, MOST).map(patternOf))}} in the input, and create suitable versions on the target after the cutover. Or change or drop them on the source.`,
      ),
    rest.length > 0 &&
      error(
        'object-refused',
        `the target refuses these objects (tried and rolled back): ${all(rest.map(named))}`,
        'The SQLSTATE shows the reason (42501: our role or the new owner lacks a privilege; 42883, 42703, 42P01 or 42704: an object that they use is missing; 0A000: the version lacks a feature). Fix it on the target, change or drop the objects on the source, or exclude their tables.',
      ),
  ];
}

function named({ kind, schema, name, state, owner }: RefusedObject): string {
  const whose = owner === null ? '' : `owner ${owner}, `;
  return `${kind} ${schema === null ? '' : `${schema}.`}${name} (${whose}SQLSTATE ${state})`;
}

function all(names: readonly string[]): string {
  const more = names.length - MOST;
  return `${names.slice(0, MOST).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** As a pattern of the input: quotes protect dots in a name. */
function patternOf({ schema, name }: RefusedObject): string {
  const part = (one: string) =>
    /^[^".:/@=]+$/u.test(one) ? one : `"${one.replaceAll('"', '""')}"`;
  return `${part(schema ?? '')}.${part(name)}`;
}

function others({ others: left }: RehearsalFacts): Found {
  if (left.length === 0) return [];
  const grants = left.flatMap(({ grants: sql }) => sql ?? []);
  return warning(
    'not-owned',
    `comments and grants are not moved, because other roles own the objects on the target or the objects are missing there (tried): ${list(left.map(({ name }) => name))}`,
    grants.length === 0
      ? 'Set the comments on the target as the owner of the objects if you need them.'
      : `To keep them, run on the target as the owner: ${grants.slice(0, 10).join(' ')}`,
  );
}

function checks({ checks: late }: RehearsalFacts): Found {
  if (late.length === 0) return [];
  return warning(
    'check-deferred',
    `constraints that read more than their row, or are NOT VALID on the source, are added NOT VALID at the cutover and apply only to new rows: ${all(late.map(({ name, functions }) => `${name} (${functions.join(', ')})`))}`,
    'The cutover validates those that hold and can be checked within seconds. Validate the others afterwards: alter table … validate constraint … (for a domain: alter domain …).',
  );
}

function untried({ untried: count }: RehearsalFacts): Found {
  if (count === 0) return [];
  return note(
    'schema-untried',
    `${counted(count, 'object')} of the schema could not be tried on the target in time`,
    'No action is needed: refused objects are reported when the schema is copied, before any rows.',
  );
}
