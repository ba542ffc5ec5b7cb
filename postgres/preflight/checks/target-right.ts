/** What the role of the target may do. */
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
    // Needed even when all tables are there: the control schema is made in this database.
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
  // Indexes and constraints can be built by a table's owner only.
  const strange = tables.filter(({ writable, owned }) => writable && !owned);
  const findings: Finding[] = [];
  if (closed.length > 0) {
    findings.push(
      error(
        'target-write',
        `role ${role.name} may not read and write tables that are on the target: ${list(closed.map(nameOf))}`,
        `On the target: ${statements(closed.map((one) => `alter table ${sqlName(one)} owner to ${to}`))}`,
      ),
    );
  }
  if (strange.length > 0) {
    findings.push(
      error(
        'target-owner',
        `tables on the target belong to roles that ${role.name} is no member of, so no index can be built: ${list(strange.map(nameOf))}`,
        `On the target: ${statements(strange.map((one) => `alter table ${sqlName(one)} owner to ${to}`))}`,
      ),
    );
  }
  return findings;
}

function replicaRole({ mayReplicate, major, role }: TargetFacts): Finding[] {
  if (mayReplicate) return [];
  const to = identifier(role.name);
  return [
    // Foreign keys would act on their own while changes are applied: a cascaded delete meets its rows gone.
    error(
      'replica-role',
      `role ${role.name} may not set session_replication_role on the target, so triggers and foreign keys would act while changes are applied`,
      major >= 15
        ? `As a superuser of the target: grant set on parameter session_replication_role to ${to};`
        : 'Let the target service use a superuser.',
    ),
  ];
}
