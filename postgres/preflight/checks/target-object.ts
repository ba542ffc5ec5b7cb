/** Objects of the target that the migration meets: event triggers, default privileges, other tables. */
import { counted, list } from '../wording.ts';
import { defineCheck, raising, notes, warns } from '../check.ts';
import { objects } from '../facts/target-objects.ts';
import { createsTables, tables } from '../facts/target-tables.ts';

const { codes, warning, note } = raising({
  'target-event-triggers': warns("Event triggers of the target fire for walferry's statements."),
  'target-default-privileges': warns('Default privileges of the target add grants to new objects.'),
  'target-other-tables': notes('The target has tables that are not part of the migration.'),
});

export const targetObject = defineCheck({
  codes,
  target: { objects, tables },
  find: ({ source, target }) => {
    if (target === null) return [];

    return [
      target.objects.eventTriggers.length > 0 &&
        warning(
          'target-event-triggers',
          `event triggers of the target fire when walferry creates or drops objects: ${list(target.objects.eventTriggers)}`,
          'If they refuse or change something, disable them until the cutover: alter event trigger … disable.',
        ),
      target.objects.defaultPrivileges &&
        createsTables(target) &&
        warning(
          'target-default-privileges',
          `default privileges of role ${target.role.name} on the target add grants to every object that walferry creates`,
          'If the target should have only the grants of the source, remove them first (psql \\ddp shows them).',
        ),
      // Without the source, every table of the target would count as another one.
      source !== null &&
        target.objects.otherTables > 0 &&
        note(
          'target-other-tables',
          `the target has ${counted(target.objects.otherTables, 'table')} that the migration does not use`,
          'No action is needed: walferry does not change them.',
        ),
    ];
  },
});
