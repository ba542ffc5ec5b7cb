/** Rights of the role on the source. */
import type { Finding } from '../../../contract/finding.ts';
import type { Check, SourceFacts } from '../facts.ts';
import { error, identifier, list, nameOf, sqlName, statements } from '../wording.ts';

export const sourceRight: Check = ({ source }) => {
  if (source === null) return [];
  return [...replication(source), ...reading(source)];
};

/** Hosted servers grant this without the attribute; a slot that could be created proves the right. */
function replication({ plugin, role, outputPluginLibraries }: SourceFacts): Finding[] {
  const proven = plugin.state === 'usable' || plugin.state === 'blocked';
  if (proven || role.superuser || role.replication) return [];
  // Servers with that setting refuse both with the same SQLSTATE, so only the plugin's finding may be true.
  if (plugin.state === 'refused' && outputPluginLibraries !== null) return [];
  return [
    error(
      'source-replication',
      `role ${role.name} may not create replication slots on the source`,
      `As a superuser of the source: alter role ${identifier(role.name)} replication; (on hosted servers: grant the provider's replication role)`,
    ),
  ];
}

function reading({ unreadable, unreadableSequences, role }: SourceFacts): Finding[] {
  const findings: Finding[] = [];
  const to = identifier(role.name);
  const grant = (names: readonly { schema: string; name: string }[], kind: string) =>
    statements([
      ...new Set(names.map(({ schema }) => `grant usage on schema ${identifier(schema)} to ${to}`)),
      ...names.map((one) => `grant select on ${kind}${sqlName(one)} to ${to}`),
    ]);
  const selected = unreadable.filter((one) => one.selected);
  const others = unreadable.filter((one) => !one.selected);
  if (selected.length > 0) {
    findings.push(
      error(
        'source-select',
        `role ${role.name} may not read tables on the source: ${list(selected.map(nameOf))}`,
        `On the source: ${grant(selected, '')}`,
      ),
    );
  }
  if (others.length > 0) {
    findings.push(
      error(
        'source-select-other',
        `role ${role.name} may not read tables that are not moved: ${list(others.map(nameOf))}; pg_dump needs to lock them to read the schema`,
        `On the source: ${grant(others, '')}`,
      ),
    );
  }
  if (unreadableSequences.length > 0) {
    findings.push(
      error(
        'source-sequence',
        `role ${role.name} may not read sequences on the source: ${list(unreadableSequences.map(nameOf))}`,
        `On the source: ${grant(unreadableSequences, 'sequence ')}`,
      ),
    );
  }
  return findings;
}
