/** What is not moved although it is in the source, and what needs a right of its own to be made. */
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
  ...(facts.source ? left(facts.source, facts.input) : []),
  ...(facts.source && facts.target ? made(facts.source, facts.target, facts.input) : []),
  ...(facts.target ? onTarget(facts.target, facts.source !== null) : []),
];

function left({ objects }: SourceFacts, { ignore }: Facts['input']): Finding[] {
  const findings: Finding[] = [];
  const { largeObjects, temporaryTables, publications, subscriptions, labelProviders } = objects;
  const { loginTriggers } = objects;
  if (loginTriggers.length > 0) {
    findings.push(
      warning(
        'login-triggers',
        `event triggers of the source on login also fire for every session of walferry: ${list(loginTriggers)}; one that writes to a moved table changes it after every end mark, and no cutover completes`,
        'If it writes to a moved table: alter event trigger … disable on the source before the cutover. On the target they are enabled when everything else is done.',
      ),
    );
  }
  if (largeObjects > 0) {
    const message = `the source has ${counted(largeObjects, 'large object')} (pg_largeobject), and changes to them are in no stream of changes`;
    findings.push(
      ignore.largeObjects
        ? warning(
            'large-objects',
            message,
            'Left behind, as the input says: columns that name them point to nothing on the target.',
          )
        : error(
            'large-objects',
            message,
            'Move them into bytea columns, or drop those that nobody needs (vacuumlo), or accept to leave them: "ignore": {"largeObjects": true} in the input.',
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
        `subscriptions of the source are not moved: ${list(shown)}; what they bring is written like the application's rows`,
        'Before the cutover disable them (alter subscription … disable), they are writers too; after it create them on the target with copy_data = false (a superuser, or from 16 on a member of pg_create_subscription).',
      ),
    );
  }
  if (publications.length > 0) {
    findings.push(
      note(
        'publications',
        `publications of the source are not moved: ${list(publications)}`,
        "Create them on the target after the cutover (create on the database, and the tables' owner; FOR ALL TABLES and schemas: a superuser); subscribers need new slots there.",
      ),
    );
  }
  if (labelProviders.length > 0) {
    findings.push(
      note(
        'security-labels',
        `security labels of the source are not moved; their providers: ${list(labelProviders)}`,
        'Set them on the target after the cutover, where its server has the same provider.',
      ),
    );
  }
  if (temporaryTables > 0) {
    findings.push(
      note(
        'temporary-tables',
        `${counted(temporaryTables, 'temporary table')} of open sessions will not be moved`,
        'Nothing to do: they end with their sessions.',
      ),
    );
  }
  return findings;
}

function made(
  { objects, hiddenMappings, role }: SourceFacts,
  target: TargetFacts,
  { schema }: Facts['input'],
): Finding[] {
  // With the tables already there, nothing but rows is moved.
  if (!createsTables(target)) return [];
  const findings: Finding[] = [];
  const { eventTriggers, defaultPrivileges } = objects;
  if (hiddenMappings.length > 0) {
    findings.push(
      warning(
        'user-mappings',
        `role ${role.name} may not read the options of user mappings on the source (usually a remote user and password), so the mappings arrive without them: ${list(hiddenMappings)}`,
        'Set them on the target after the cutover (alter user mapping for … server … options (add …)), or use a superuser in the source service.',
      ),
    );
  }
  const taken = eventTriggers.filter((name) => target.objects.eventTriggerNames.includes(name));
  if (taken.length > 0) {
    findings.push(
      error(
        'target-clash',
        `the target has event triggers with the names of those that are created there: ${list(taken)}`,
        'Rename or drop them on the target, or leave those of the source: "ignore": {"eventTriggers": ["NAME", …]} in the input.',
      ),
    );
  }
  if (eventTriggers.length > 0 && target.eventTriggers.may === false) {
    findings.push(
      error(
        'event-trigger-right',
        `role ${target.role.name} may not create event triggers on the target (tried, SQLSTATE 42501), and they are moved: ${list(eventTriggers)}`,
        'Let the target service use a superuser (on a hosted server: the admin role that its operator allows them to), or leave them: "ignore": {"eventTriggers": ["NAME", …]} in the input, and create them on the target by hand after the cutover.',
      ),
    );
  } else if (eventTriggers.length > taken.length) {
    findings.push(
      note(
        'event-triggers',
        `event triggers of the source come to the target, too: ${list(eventTriggers)}`,
        'Nothing to do; they are made after the rows, and their functions meet what is created from then on.',
      ),
    );
  }
  const owners = schema.owners ? target.eventTriggers.refusedOwners : [];
  if (owners.length > 0) {
    findings.push(
      error(
        'event-trigger-right',
        `event triggers of the source belong to roles that cannot own them on the target (missing there, or no superusers): ${list(owners)}`,
        'Create these roles there, as superusers, or set "schema": {"owners": false} in the input, or leave the event triggers: "ignore": {"eventTriggers": ["NAME", …]}.',
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
        `role ${target.role.name} is no member of roles whose default privileges are moved, and cannot set those: ${list(closed)}`,
        `On the target: ${statements(closed.map((name) => `grant ${identifier(name)} to ${to}`))} Or set "schema": {"grants": false} in the input.`,
      ),
    );
  }
  return findings;
}

/** @param compared whether the source's tables are known: without them every table of the target would be another one. */
function onTarget({ objects, tables, role }: TargetFacts, compared: boolean): Finding[] {
  const findings: Finding[] = [];
  if (objects.eventTriggers.length > 0) {
    findings.push(
      warning(
        'target-event-triggers',
        `event triggers of the target see what walferry creates and drops there: ${list(objects.eventTriggers)}`,
        'If they refuse or change something: alter event trigger … disable, until the cutover.',
      ),
    );
  }
  if (objects.defaultPrivileges && createsTables({ tables })) {
    findings.push(
      warning(
        'target-default-privileges',
        `default privileges of role ${role.name} on the target add grants to everything that is created there`,
        'If the target is to have the grants of the source and no others, remove them first (psql \\ddp shows them).',
      ),
    );
  }
  if (compared && objects.otherTables > 0) {
    findings.push(
      note(
        'target-other-tables',
        `the target has ${counted(objects.otherTables, 'table')} beside those of the migration`,
        'They stay as they are.',
      ),
    );
  }
  return findings;
}
