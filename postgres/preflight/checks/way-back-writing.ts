/** What the old database needs so that the way back can write to it. */
import { isFenced } from '../../../contract/cutover.ts';
import { identifier, list, nameOf, sqlName, statements } from '../wording.ts';
import { defineCheck, raising, refuses, warns } from '../check.ts';
import { fence, willBeFenced } from '../facts/wanted-fence.ts';
import { returning } from '../facts/returning.ts';

const { codes, error, warning } = raising({
  'way-back-fence': refuses('A way back needs a cutover with a fence.'),
  'way-back-schema': refuses('The role may not create schema walferry on the source.'),
  'way-back-replica-role': refuses('The role may not set session_replication_role on the source.'),
  'way-back-write': refuses('The role may not write selected tables of the source.'),
  'way-back-triggers': warns('Triggers of the source would fire for changes of the way back.'),
});

export const wayBackWriting = defineCheck({
  codes,
  source: { returning, fence },
  find: ({ source, input }) => {
    if (source?.returning == null) return [];
    const { returning: facts, role, database } = source;
    const to = identifier(role.name);
    return [
      input.switchback !== undefined &&
        !isFenced(input) &&
        !(input.fence === undefined && willBeFenced(source.fence)) &&
        error(
          'way-back-fence',
          '"switchback" is set and the cutover has no fence: only a fence proves that both databases hold the same rows at the switch, where the way back starts',
          'Set "fence": "trigger", or omit "switchback".',
        ),
      !facts.mayCreate &&
        error(
          'way-back-schema',
          `role ${role.name} may not create schemas in the source database, where the way back keeps its state`,
          `On the source: grant create on database ${identifier(database)} to ${to};`,
        ),
      !facts.mayReplicate &&
        error(
          'way-back-replica-role',
          `role ${role.name} may not set session_replication_role on the source: foreign keys and triggers would act twice on changes of the way back`,
          `As a superuser of the source: grant set on parameter session_replication_role to ${to}; (from 15 on; on hosted servers: the provider's administrative role)`,
        ),
      facts.closed.length > 0 &&
        error(
          'way-back-write',
          `role ${role.name} may not write tables of the source: ${list(facts.closed.map(nameOf))}`,
          `On the source: ${statements(facts.closed.map((one) => `grant select, insert, update, delete, truncate on ${sqlName(one)} to ${to}`))}`,
        ),
      facts.firing.length > 0 &&
        warning(
          'way-back-triggers',
          `triggers and rules of the source fire in replica role: ${list(facts.firing)}; after the switch they are disabled for the way back`,
          'No action is needed: they get their state back when the way back ends. A trigger whose effect must not be missing on the old database belongs on the target, too.',
        ),
    ];
  },
});
