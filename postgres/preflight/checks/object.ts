/** Objects of the source that are not moved, and objects that need a special privilege to be created. */
import type { Finding } from '../../../contract/finding.ts';
import {
  createsTables,
  type Check,
  type Facts,
  type SourceFacts,
  type TargetFacts,
} from '../facts.ts';
import { counted, error, identifier, list, note, statements, warning } from '../wording.ts';

export const object: Check = (facts) => [
  ...(facts.source ? notMoved(facts.source, facts.input) : []),
  ...(facts.source && facts.target ? created(facts.source, facts.target, facts.input) : []),
  ...(facts.target ? onTarget(facts.target, facts.source !== null) : []),
];

function notMoved({ objects }: SourceFacts, { ignore }: Facts['input']): Finding[] {
  const findings: Finding[] = [];
  const { largeObjects, temporaryTables, publications, subscriptions, labelProviders } = objects;
  const { loginTriggers } = objects;
  if (loginTriggers.length > 0) {
    findings.push(
      warning(
        'login-triggers',
        `login event triggers of the source also fire for every session of walferry: ${list(loginTriggers)}; one that writes to a moved table changes it after every end mark, so no cutover completes`,
        'If one writes to a moved table, disable it on the source before the cutover: alter event trigger … disable. On the target they are enabled last.',
      ),
    );
  }
  if (largeObjects > 0) {
    const message = `the source has ${counted(largeObjects, 'large object')} (pg_largeobject), which logical decoding does not replicate`;
    findings.push(
      ignore.largeObjects
        ? warning(
            'large-objects',
            message,
            'The input ignores them: columns that refer to them point to nothing on the target.',
          )
        : error(
            'large-objects',
            message,
            'Move them into bytea columns, drop unused ones (vacuumlo), or accept losing them: "ignore": {"largeObjects": true} in the input.',
          ),
    );
  }
  if (subscriptions.length > 0) {
    const shown = subscriptions.map(
      ({ name, enabled }) => `${name}${enabled ? '' : ' (disabled)'}`,
    );
    findings.push(
      warning(
        'subscriptions',
        `subscriptions of the source are not moved: ${list(shown)}; the rows that they write are replicated like the application's`,
        'Disable them before the cutover, because they write to the source (alter subscription … disable). After it, create them on the target with copy_data = false (as a superuser, or from 16 on a member of pg_create_subscription).',
      ),
    );
  }
  if (publications.length > 0) {
    findings.push(
      note(
        'publications',
        `publications of the source are not moved: ${list(publications)}`,
        'Create them on the target after the cutover (needs CREATE on the database and ownership of the tables; FOR ALL TABLES or a schema: a superuser). Subscribers need new slots there.',
      ),
    );
  }
  if (labelProviders.length > 0) {
    findings.push(
      note(
        'security-labels',
        `security labels of the source are not moved; their providers: ${list(labelProviders)}`,
        'Set them on the target after the cutover if its server has the same provider.',
      ),
    );
  }
  if (temporaryTables > 0) {
    findings.push(
      note(
        'temporary-tables',
        `${counted(temporaryTables, 'temporary table')} of open sessions will not be moved`,
        'No action is needed: they end with their sessions.',
      ),
    );
  }
  return findings;
}

function created(
  { objects, hiddenMappings, role }: SourceFacts,
  target: TargetFacts,
  { schema }: Facts['input'],
): Finding[] {
  // If the tables exist, only rows are moved.
  if (!createsTables(target)) return [];
  const findings: Finding[] = [];
  const { eventTriggers, defaultPrivileges } = objects;
  if (hiddenMappings.length > 0) {
    findings.push(
      warning(
        'user-mappings',
        `role ${role.name} may not read the options of user mappings on the source (usually a remote user and password), so the mappings are created without them: ${list(hiddenMappings)}`,
        'Set the options on the target after the cutover (alter user mapping for … server … options (add …)), or use a superuser in the source service.',
      ),
    );
  }
  const taken = eventTriggers.filter((name) => target.objects.eventTriggerNames.includes(name));
  if (taken.length > 0) {
    findings.push(
      error(
        'target-clash',
        `the target has event triggers with the same names as those of the source: ${list(taken)}`,
        'Rename or drop them on the target, or ignore those of the source: "ignore": {"eventTriggers": ["NAME", …]} in the input.',
      ),
    );
  }
  if (eventTriggers.length > 0 && target.eventTriggers.may === false) {
    findings.push(
      error(
        'event-trigger-right',
        `role ${target.role.name} may not create the source's event triggers on the target (tried, SQLSTATE 42501): ${list(eventTriggers)}`,
        'Use a superuser in the target service (on a hosted server: an admin role that may create them). Or ignore them ("ignore": {"eventTriggers": ["NAME", …]} in the input) and create them on the target after the cutover.',
      ),
    );
  } else if (eventTriggers.length > taken.length) {
    findings.push(
      note(
        'event-triggers',
        `event triggers of the source are created on the target, too: ${list(eventTriggers)}`,
        'No action is needed. They are created after the rows and fire for objects created from then on.',
      ),
    );
  }
  const owners = schema.owners ? target.eventTriggers.refusedOwners : [];
  if (owners.length > 0) {
    findings.push(
      error(
        'event-trigger-right',
        `event triggers of the source belong to roles that cannot own them on the target (missing there, or not superusers): ${list(owners)}`,
        'Create these roles on the target as superusers, or set "schema": {"owners": false} in the input, or ignore the event triggers: "ignore": {"eventTriggers": ["NAME", …]}.',
      ),
    );
  }
  const to = identifier(target.role.name);
  const closed = schema.grants
    ? defaultPrivileges.filter((name) => target.roles.get(name)?.member === false)
    : [];
  if (closed.length > 0) {
    findings.push(
      error(
        'default-privileges',
        `role ${target.role.name} on the target cannot set default privileges of roles that it is not a member of: ${list(closed)}`,
        `On the target: ${statements(closed.map((name) => `grant ${identifier(name)} to ${to}`))} Or set "schema": {"grants": false} in the input.`,
      ),
    );
  }
  return findings;
}

/** @param compared whether the source's tables are known: otherwise every table of the target would count as another one. */
function onTarget({ objects, tables, role }: TargetFacts, compared: boolean): Finding[] {
  const findings: Finding[] = [];
  if (objects.eventTriggers.length > 0) {
    findings.push(
      warning(
        'target-event-triggers',
        `event triggers of the target fire when walferry creates or drops objects: ${list(objects.eventTriggers)}`,
        'If they refuse or change something, disable them until the cutover: alter event trigger … disable.',
      ),
    );
  }
  if (objects.defaultPrivileges && createsTables({ tables })) {
    findings.push(
      warning(
        'target-default-privileges',
        `default privileges of role ${role.name} on the target add grants to every object that walferry creates`,
        'If the target should have only the grants of the source, remove them first (psql \\ddp shows them).',
      ),
    );
  }
  if (compared && objects.otherTables > 0) {
    findings.push(
      note(
        'target-other-tables',
        `the target has ${counted(objects.otherTables, 'table')} that the migration does not use`,
        'No action is needed: walferry does not change them.',
      ),
    );
  }
  return findings;
}
