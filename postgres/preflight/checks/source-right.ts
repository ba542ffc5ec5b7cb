/** Rights of the role on the source. */
import { identifier, list, nameOf, sqlName, statements } from '../wording.ts';
import { defineCheck, raising, refuses, type Values, type Found } from '../check.ts';
import { outputPluginLibraries } from '../facts/allowed-plugins.ts';
import { plugin } from '../facts/plugin.ts';
import { unreadable, unreadableSequences } from '../facts/unreadable.ts';
import type { ServerFacts } from '../server.ts';

const { codes, error } = raising({
  'source-replication': refuses('The role may not create replication slots.'),
  'source-select': refuses('The role may not read selected tables.'),
  'source-select-other': refuses('The role may not read tables that pg_dump locks.'),
  'source-sequence': refuses('The role may not read sequences.'),
});

const source = { plugin, outputPluginLibraries, unreadable, unreadableSequences };
type Source = ServerFacts & Values<typeof source>;

export const sourceRight = defineCheck({
  codes,
  source,
  find: ({ source: facts }) => (facts === null ? [] : [replication(facts), reading(facts)]),
});

/** Hosted servers grant this without the attribute; a slot that could be created proves the right. */
function replication({ plugin: { state }, role, outputPluginLibraries: setting }: Source): Found {
  const proven = state === 'usable' || state === 'blocked';
  if (proven || role.superuser || role.replication) return [];
  // Servers with that setting refuse both with the same SQLSTATE, so only the plugin's finding may be true.
  if (state === 'refused' && setting !== null) return [];
  return error(
    'source-replication',
    `role ${role.name} may not create replication slots on the source`,
    `As a superuser of the source: alter role ${identifier(role.name)} replication; (on hosted servers: grant the provider's replication role)`,
  );
}

function reading({ unreadable: closed, unreadableSequences: sequences, role }: Source): Found {
  const to = identifier(role.name);
  const grant = (names: readonly { schema: string; name: string }[], kind: string) =>
    statements([
      ...new Set(names.map(({ schema }) => `grant usage on schema ${identifier(schema)} to ${to}`)),
      ...names.map((one) => `grant select on ${kind}${sqlName(one)} to ${to}`),
    ]);
  const selected = closed.filter((one) => one.selected);
  const others = closed.filter((one) => !one.selected);
  return [
    selected.length > 0 &&
      error(
        'source-select',
        `role ${role.name} may not read tables on the source: ${list(selected.map(nameOf))}`,
        `On the source: ${grant(selected, '')}`,
      ),
    others.length > 0 &&
      error(
        'source-select-other',
        `role ${role.name} may not read tables that are not moved: ${list(others.map(nameOf))}; pg_dump needs to lock them to read the schema`,
        `On the source: ${grant(others, '')}`,
      ),
    sequences.length > 0 &&
      error(
        'source-sequence',
        `role ${role.name} may not read sequences on the source: ${list(sequences.map(nameOf))}`,
        `On the source: ${grant(sequences, 'sequence ')}`,
      ),
  ];
}
