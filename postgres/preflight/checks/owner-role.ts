/** The roles that the moved schema refers to exist on the target, and ours may make them owners. */
import type { Finding } from '../../../contract/finding.ts';
import { SQLSTATE } from '../../connection/failure.ts';
import { identifier, list, statements } from '../wording.ts';
import { defineCheck, raising, refuses } from '../check.ts';
import { roles as namedRoles } from '../facts/named-roles.ts';
import { roles, type RoleRight } from '../facts/target-roles.ts';
import { schemas } from '../facts/target-schemas.ts';
import { createsTables, tables } from '../facts/target-tables.ts';
import type { ServerFacts } from '../server.ts';

const { codes, error } = raising({
  'role-missing': refuses('Roles that the schema refers to do not exist on the target.'),
  'role-not-member': refuses('The role cannot transfer objects to their owners.'),
});

/** Predefined roles. They rarely own anything, and pg_database_owner cannot be granted. */
const PREDEFINED = /^pg_/;

export const ownerRole = defineCheck({
  codes,
  source: { roles: namedRoles },
  target: { roles, schemas, tables },
  find: ({ source, target, input, rehearsal }) => {
    // If the operator created the tables, their owners and grants are the operator's.
    if (source === null || target === null || !createsTables(target)) return [];
    const { grantees, policies } = source.roles;
    // An existing schema keeps its owner. The owner of public (pg_database_owner from 15 on, the platform's superuser before) can
    // rarely be granted.
    const created = source.roles.schemas.filter(({ schema }) => !target.schemas.includes(schema));
    const owners = [
      ...new Set([...source.roles.owners, ...created.map(({ owner }) => owner)]),
    ].sort();
    const named = [
      ...(input.schema.owners ? owners : []),
      ...(input.schema.grants ? grantees : []),
      ...policies,
    ];
    const missing = [...new Set(named)].filter((name) => !target.roles.has(name)).sort();
    const closed = input.schema.owners
      ? owners.filter((name) => target.roles.get(name)?.member === false)
      : [];
    const to = identifier(target.role.name);
    const grants = closed
      .filter((name) => !PREDEFINED.test(name))
      .map((name) => `grant ${identifier(name)} to ${to}`);
    const fixed = closed.filter((name) => PREDEFINED.test(name));
    // Some objects need fewer rights; the rehearsal shows whether these do.
    const denied = rehearsal?.refused.some(({ state }) => state === SQLSTATE.insufficientPrivilege);
    const unusable =
      input.schema.owners && denied === true
        ? owners.filter((name) => isUnusable(target.roles, name))
        : [];
    return [
      missing.length > 0 &&
        error(
          'role-missing',
          `roles that own objects, have grants, or appear in policies on the source do not exist on the target: ${list(missing)}`,
          `On the target: ${statements(missing.map((name) => `create role ${identifier(name)}`))} Or set "schema": {"owners": false, "grants": false} in the input.`,
        ),
      closed.length > 0 &&
        error(
          'role-not-member',
          `role ${target.role.name} on the target is not a member of roles that own objects, so it cannot transfer the objects to them: ${list(closed)}`,
          [
            ...(grants.length > 0 ? [`On the target: ${statements(grants)}`] : []),
            ...(fixed.length > 0
              ? [`On the source, give objects of ${list(fixed)} another owner.`]
              : []),
            'Or set "schema": {"owners": false} in the input.',
          ].join(' '),
        ),
      unusable.length > 0 && notUsable(target, unusable),
    ];
  },
});

function isUnusable(all: ReadonlyMap<string, RoleRight>, name: string): boolean {
  const right = all.get(name);
  return right !== undefined && right.member && !right.usable && !PREDEFINED.test(name);
}

function notUsable({ role: ours, major }: ServerFacts, names: readonly string[]): Finding {
  const to = identifier(ours.name);
  const options = major >= FIRST_WITH_OPTIONS ? ' with inherit true, set true' : '';
  const grants = names.map((name) => `grant ${identifier(name)} to ${to}${options}`);
  return error(
    'role-not-member',
    `role ${ours.name} on the target is a member of roles that own objects, but does not inherit their rights or may not make them owners: ${list(names)}`,
    `On the target: ${statements(options === '' ? [`alter role ${to} inherit`, ...grants] : grants)} Or set "schema": {"owners": false} in the input.`,
  );
}

/** From this version on, the grant of a role decides whether it is inherited; before, an attribute of the member does. */
const FIRST_WITH_OPTIONS = 16;
