/** Objects of the source that are not moved. */
import { counted, list } from '../wording.ts';
import { defineCheck, raising, notes, refusesOrWarns, warns } from '../check.ts';
import { objects } from '../facts/source-objects.ts';

const { codes, error, warning, note } = raising({
  'login-triggers': warns('Login event triggers of the source also fire for walferry.'),
  'large-objects': refusesOrWarns(
    'The source has large objects, which logical decoding does not replicate; a warning if the input ignores them.',
  ),
  subscriptions: warns('Subscriptions are not moved; they also write to the source.'),
  publications: notes('Publications are not moved.'),
  'security-labels': notes('Security labels are not moved.'),
  'temporary-tables': notes('Temporary tables are not moved.'),
});

export const unmovedObject = defineCheck({
  codes,
  source: { objects },
  find: ({ source, input }) => {
    if (source === null) return [];
    const { largeObjects, temporaryTables, publications, subscriptions } = source.objects;
    const { labelProviders, loginTriggers } = source.objects;
    const message = `the source has ${counted(largeObjects, 'large object')} (pg_largeobject), which logical decoding does not replicate`;
    const shown = subscriptions.map(
      ({ name, enabled }) => `${name}${enabled ? '' : ' (disabled)'}`,
    );
    return [
      loginTriggers.length > 0 &&
        warning(
          'login-triggers',
          `login event triggers of the source also fire for every session of walferry: ${list(loginTriggers)}; one that writes to a moved table changes it after every end mark, so no cutover completes`,
          'If one writes to a moved table, disable it on the source before the cutover: alter event trigger … disable. On the target they are enabled last.',
        ),
      largeObjects > 0 &&
        (input.ignore.largeObjects
          ? warning(
              'large-objects',
              message,
              'The input ignores them: columns that refer to them point to nothing on the target.',
            )
          : error(
              'large-objects',
              message,
              'Move them into bytea columns, drop unused ones (vacuumlo), or accept losing them: "ignore": {"largeObjects": true} in the input.',
            )),
      subscriptions.length > 0 &&
        warning(
          'subscriptions',
          `subscriptions of the source are not moved: ${list(shown)}; the rows that they write are replicated like the application's`,
          'Disable them before the cutover, because they write to the source (alter subscription … disable). After it, create them on the target with copy_data = false (as a superuser, or from 16 on a member of pg_create_subscription).',
        ),
      publications.length > 0 &&
        note(
          'publications',
          `publications of the source are not moved: ${list(publications)}`,
          'Create them on the target after the cutover (needs CREATE on the database and ownership of the tables; FOR ALL TABLES or a schema: a superuser). Subscribers need new slots there.',
        ),
      labelProviders.length > 0 &&
        note(
          'security-labels',
          `security labels of the source are not moved; their providers: ${list(labelProviders)}`,
          'Set them on the target after the cutover if its server has the same provider.',
        ),
      temporaryTables > 0 &&
        note(
          'temporary-tables',
          `${counted(temporaryTables, 'temporary table')} of open sessions will not be moved`,
          'No action is needed: they end with their sessions.',
        ),
    ];
  },
});
