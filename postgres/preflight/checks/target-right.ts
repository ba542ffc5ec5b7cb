/** Rights of the role on the target. */
import type { Finding } from '../../../contract/finding.ts';
import { createsTables, type Check, type TargetFacts } from '../facts.ts';
import { error, identifier, list, nameOf, sqlName, statements } from '../wording.ts';

export const targetRight: Check = ({ target }) => {
  if (target === null) return [];
  return [...creating(target), ...writing(target), ...replicaRole(target)];
};

function creating({ mayCreateSchemas, closedSchemas, database, role, tables }: TargetFacts) {
  const findings: Finding[] = [];
  const to = identifier(role.name);
  if (!mayCreateSchemas) {
    // Needed even if all tables exist: the control schema is created in this database.
    findings.push(
      error(
        'target-create',
        `role ${role.name} may not create schemas in the target database`,
        `On the target: grant create on database ${identifier(database)} to ${to};`,
      ),
    );
  }
  if (createsTables({ tables }) && closedSchemas.length > 0) {
    findings.push(
      error(
        'target-schema',
        `role ${role.name} may not create tables in schemas of the target: ${list(closedSchemas)}`,
        `On the target: ${statements(closedSchemas.map((name) => `grant create on schema ${identifier(name)} to ${to}`))}`,
      ),
    );
  }
  return findings;
}

function writing({ tables, role }: TargetFacts): Finding[] {
  const to = identifier(role.name);
  const closed = tables.filter(({ writable }) => !writable);
  // Only a table's owner can build its indexes and constraints.
  const unowned = tables.filter(({ writable, owned }) => writable && !owned);
  const findings: Finding[] = [];
  if (closed.length > 0) {
    findings.push(
      error(
        'target-write',
        `role ${role.name} may not read and write existing tables on the target: ${list(closed.map(nameOf))}`,
        `On the target: ${statements(closed.map((one) => `alter table ${sqlName(one)} owner to ${to}`))}`,
      ),
    );
  }
  if (unowned.length > 0) {
    findings.push(
      error(
        'target-owner',
        `tables on the target belong to roles that ${role.name} is not a member of, so it cannot build their indexes: ${list(unowned.map(nameOf))}`,
        `On the target: ${statements(unowned.map((one) => `alter table ${sqlName(one)} owner to ${to}`))}`,
      ),
    );
  }
  return findings;
}

function replicaRole({ mayReplicate, major, role }: TargetFacts): Finding[] {
  if (mayReplicate) return [];
  const to = identifier(role.name);
  return [
    // Foreign keys would fire while changes are applied: rows of a replicated cascaded delete would already be gone.
    error(
      'replica-role',
      `role ${role.name} may not set session_replication_role on the target, so triggers and foreign keys would fire while changes are applied`,
      major >= 15
        ? `As a superuser of the target: grant set on parameter session_replication_role to ${to};`
        : 'Use a superuser in the target service.',
    ),
  ];
}
