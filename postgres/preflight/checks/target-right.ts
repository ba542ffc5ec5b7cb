/** Rights of the role on the target. */
import { identifier, list, nameOf, sqlName, statements } from '../wording.ts';
import { defineCheck, raising, refuses, type Values, type Found } from '../check.ts';
import { mayCreateSchemas } from '../facts/create-right.ts';
import { relations } from '../facts/selected.ts';
import { createsTables, tables } from '../facts/target-tables.ts';
import { tryReplica } from '../facts/replica-right.ts';
import { ofSource, type TargetReading } from '../reading.ts';
import type { ServerFacts } from '../server.ts';

const { codes, error } = raising({
  'target-create': refuses('The role may not create schemas on the target.'),
  'target-schema': refuses('The role may not create objects in existing schemas of the target.'),
  'target-write': refuses('The role may not read and write existing tables of the target.'),
  'target-owner': refuses('The role does not own existing tables of the target.'),
  'replica-role': refuses('The role may not set session_replication_role on the target.'),
});

const target = { mayCreateSchemas, closedSchemas: readClosed, mayReplicate: tryReplica, tables };
type Target = ServerFacts & Values<typeof target>;

export const targetRight = defineCheck({
  codes,
  target,
  find: ({ target: facts }) =>
    facts === null ? [] : [creating(facts), writing(facts), replicaRole(facts)],
});

function creating(facts: Target) {
  const { closedSchemas, database, role } = facts;
  const to = identifier(role.name);
  return [
    !facts.mayCreateSchemas && // Needed even if all tables exist: the control schema is created in this database.
      error(
        'target-create',
        `role ${role.name} may not create schemas in the target database`,
        `On the target: grant create on database ${identifier(database)} to ${to};`,
      ),
    createsTables(facts) &&
      closedSchemas.length > 0 &&
      error(
        'target-schema',
        `role ${role.name} may not create tables in schemas of the target: ${list(closedSchemas)}`,
        `On the target: ${statements(closedSchemas.map((name) => `grant create on schema ${identifier(name)} to ${to}`))}`,
      ),
  ];
}

function writing({ tables: there, role }: Target): Found {
  const to = identifier(role.name);
  const closed = there.filter(({ writable }) => !writable);
  // Only a table's owner can build its indexes and constraints.
  const unowned = there.filter(({ writable, owned }) => writable && !owned);

  return [
    closed.length > 0 &&
      error(
        'target-write',
        `role ${role.name} may not read and write existing tables on the target: ${list(closed.map(nameOf))}`,
        `On the target: ${statements(closed.map((one) => `alter table ${sqlName(one)} owner to ${to}`))}`,
      ),
    unowned.length > 0 &&
      error(
        'target-owner',
        `tables on the target belong to roles that ${role.name} is not a member of, so it cannot build their indexes: ${list(unowned.map(nameOf))}`,
        `On the target: ${statements(unowned.map((one) => `alter table ${sqlName(one)} owner to ${to}`))}`,
      ),
  ];
}

function replicaRole({ mayReplicate, major, role }: Target): Found {
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

/** Existing schemas of selected tables in which the role may not create. */
async function readClosed(of: TargetReading): Promise<string[]> {
  const selected = await ofSource(of, relations, []);
  const { rows } = await of.client.query<{ name: string }>(
    /* sql */ `select nspname as name from pg_catalog.pg_namespace
                where nspname = any($1::text[]) and not has_schema_privilege(oid, 'create') order by 1`,
    [[...new Set(selected.map(({ schema }) => schema))]],
  );
  return rows.map(({ name }) => name);
}
