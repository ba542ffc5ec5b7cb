/** Schemas of the source that the target also has. */
import { ofSource, shared, type TargetReading } from '../reading.ts';
import { roles, type NamedRoles } from './named-roles.ts';

const NONE: NamedRoles = { owners: [], schemas: [], grantees: [], policies: [] };

export const schemas = shared(async (of: TargetReading): Promise<string[]> => {
  const wanted = (await ofSource(of, roles, NONE)).schemas.map(({ schema }) => schema);
  const { rows } = await of.client.query<{ name: string }>(
    /* sql */ `select nspname as name from pg_catalog.pg_namespace where nspname = any($1::text[])`,
    [wanted],
  );
  return rows.map(({ name }) => name);
});
