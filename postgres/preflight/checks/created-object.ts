/** Objects that need a special privilege to be created: event triggers, user mappings, default privileges of other roles. */
import { rolledBack } from '../../connection/in-transaction.ts';
import { identifier, list, statements } from '../wording.ts';
import { defineCheck, raising, notes, refuses, warns } from '../check.ts';
import pg from 'pg';
import { readHiddenMappings } from '../../catalog/user-mapping.ts';
import { SQLSTATE } from '../../connection/failure.ts';
import { attempt } from '../attempt.ts';
import { objects } from '../facts/source-objects.ts';
import { CLASH } from '../facts/taken-name.ts';
import { objects as targetObjects } from '../facts/target-objects.ts';
import { roles } from '../facts/target-roles.ts';
import { createsTables, tables } from '../facts/target-tables.ts';
import type { TargetReading } from '../reading.ts';

const { codes, error, warning, note } = raising({
  ...CLASH,
  'user-mappings': warns(
    'User mappings are created without their options if the role may not read them.',
  ),
  'event-trigger-right': refuses('The role may not create event triggers on the target.'),
  'event-triggers': notes('Event triggers of the source are created on the target after the rows.'),
  'default-privileges': refuses('The role cannot set the default privileges of other roles.'),
});

export const createdObject = defineCheck({
  codes,
  source: { objects, hiddenMappings: ({ client }) => readHiddenMappings(client) },
  target: { eventTriggers: tryEventTrigger, objects: targetObjects, roles, tables },
  find: ({ source, target, input }) => {
    // If the tables exist, only rows are moved.
    if (source === null || target === null || !createsTables(target)) return [];
    const { hiddenMappings, role } = source;
    const { schema } = input;
    const { eventTriggers, defaultPrivileges } = source.objects;
    const taken = eventTriggers.filter((name) => target.objects.eventTriggerNames.includes(name));
    const owners = schema.owners ? target.eventTriggers.refusedOwners : [];
    const to = identifier(target.role.name);
    const closed = schema.grants
      ? defaultPrivileges.filter((name) => target.roles.get(name)?.member === false)
      : [];
    return [
      hiddenMappings.length > 0 &&
        warning(
          'user-mappings',
          `role ${role.name} may not read the options of user mappings on the source (usually a remote user and password), so the mappings are created without them: ${list(hiddenMappings)}`,
          'Set the options on the target after the cutover (alter user mapping for … server … options (add …)), or use a superuser in the source service.',
        ),
      taken.length > 0 &&
        error(
          'target-clash',
          `the target has event triggers with the same names as those of the source: ${list(taken)}`,
          'Rename or drop them on the target, or ignore those of the source: "ignore": {"eventTriggers": ["NAME", …]} in the input.',
        ),
      eventTriggers.length > 0 && target.eventTriggers.may === false
        ? error(
            'event-trigger-right',
            `role ${target.role.name} may not create the source's event triggers on the target (tried, SQLSTATE 42501): ${list(eventTriggers)}`,
            'Use a superuser in the target service (on a hosted server: an admin role that may create them). Or ignore them ("ignore": {"eventTriggers": ["NAME", …]} in the input) and create them on the target after the cutover.',
          )
        : eventTriggers.length > taken.length &&
          note(
            'event-triggers',
            `event triggers of the source are created on the target, too: ${list(eventTriggers)}`,
            'No action is needed. They are created after the rows and fire for objects created from then on.',
          ),
      owners.length > 0 &&
        error(
          'event-trigger-right',
          `event triggers of the source belong to roles that cannot own them on the target (missing there, or not superusers): ${list(owners)}`,
          'Create these roles on the target as superusers, or set "schema": {"owners": false} in the input, or ignore the event triggers: "ignore": {"eventTriggers": ["NAME", …]}.',
        ),
      closed.length > 0 &&
        error(
          'default-privileges',
          `role ${target.role.name} on the target cannot set default privileges of roles that it is not a member of: ${list(closed)}`,
          `On the target: ${statements(closed.map((name) => `grant ${identifier(name)} to ${to}`))} Or set "schema": {"grants": false} in the input.`,
        ),
    ];
  },
});

/** Result of trying to create an event trigger; tried only if the source has some. */
interface EventTriggerRight {
  /** Null: not tried. */
  readonly may: boolean | null;
  /** Owners on the source that cannot own one here: missing, or not superusers. */
  readonly refusedOwners: readonly string[];
}

/**
 * Only a test shows this right, too: PostgreSQL requires a superuser, hosted servers allow their admin roles. It is rolled back,
 * and no other session sees it.
 */
async function tryEventTrigger(of: TargetReading): Promise<EventTriggerRight> {
  const owners = of.source === null ? [] : (await objects(of.source)).eventTriggerOwners;
  // No owners means no event triggers.
  if (owners.length === 0) return { may: null, refusedOwners: [] };
  return rolledBack(of.client, async () => {
    // A refusal here (no right to temporary objects, another event trigger) does not matter: the server checks the right to
    // create an event trigger before it looks for the function.
    await attempt(
      of.client,
      /* sql */ `create function pg_temp.walferry_try() returns event_trigger language plpgsql as 'begin end'`,
    );
    const state = await attempt(
      of.client,
      /* sql */ `create event trigger walferry_try on ddl_command_end execute function pg_temp.walferry_try()`,
    );
    // Only this SQLSTATE means a missing right; other errors concern only this test.
    if (state === SQLSTATE.insufficientPrivilege) return { may: false, refusedOwners: [] };
    const refusedOwners: string[] = [];
    for (const owner of state === null ? owners : []) {
      const refusal = await attempt(
        of.client,
        /* sql */ `alter event trigger walferry_try owner to ${pg.escapeIdentifier(owner)}`,
      );
      if (refusal === SQLSTATE.insufficientPrivilege || refusal === SQLSTATE.undefinedObject) {
        refusedOwners.push(owner);
      }
    }
    return { may: true, refusedOwners };
  });
}
