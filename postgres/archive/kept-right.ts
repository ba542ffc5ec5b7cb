/** For the final summary: owners and grants that schemas keep because the target had them before. */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import {
  compareSchemaRights,
  readSchemaRights,
  wordGrant,
  type SchemaRights,
} from '../catalog/schema-right.ts';

/** Owners and grants of schemas that existed before: reported, because the migration does not change them. */
export async function keptRights(
  target: pg.ClientBase,
  source: readonly SchemaRights[],
  { schema: { owners, grants } }: MigrationInput,
): Promise<string[]> {
  const { rows } = await target.query<{ ours: string }>(/* sql */ `select current_user as ours`);
  const ours = rows[0]?.ours ?? '';
  const there = await readSchemaRights(target);
  return compareSchemaRights(source, there, { owners, grants, ours }).flatMap(
    ({ schema, owner, onTargetOnly }) => [
      ...(owner
        ? [
            `OWNER of SCHEMA ${schema} (${owner.source} on the source, ${owner.target} on the target)`,
          ]
        : []),
      ...onTargetOnly.map(
        (grant) => `GRANT on SCHEMA ${schema} of the target only: ${wordGrant(grant)}`,
      ),
    ],
  );
}
