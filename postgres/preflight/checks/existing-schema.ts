/** Existing schemas on the target keep their owner and grants. */
import { compareSchemaRights, readSchemaRights, wordGrant } from '../../catalog/schema-right.ts';
import { identifier, list, statements } from '../wording.ts';
import { defineCheck, raising, warns } from '../check.ts';
import { roles } from '../facts/target-roles.ts';
import { createsTables, tables } from '../facts/target-tables.ts';

const { codes, warning } = raising({
  'target-schema-rights': warns(
    'An existing schema on the target has another owner or other grants than on the source.',
  ),
});

export const existingSchema = defineCheck({
  codes,
  both: { schemaRights: ({ client }) => readSchemaRights(client) },
  target: { roles, tables },
  find: ({ source, target, input }) => {
    // If the operator created the tables, owners and grants are the operator's.
    if (source === null || target === null || !createsTables(target)) return [];
    const { owners, grants } = input.schema;
    const found = compareSchemaRights(source.schemaRights, target.schemaRights, {
      ...{ owners, grants, ours: target.role.name },
      // An owner that the target lacks needs no rights there.
      isKnown: (name) => target.roles.has(name),
    });
    if (found.length === 0) return [];
    const shown = found.flatMap(({ schema, owner, onTargetOnly }) => [
      ...(owner
        ? [`${schema} belongs to ${owner.source} on the source, to ${owner.target} on the target`]
        : []),
      ...(onTargetOnly.length > 0
        ? [`${schema} grants ${list(onTargetOnly.map(wordGrant))} on the target only`]
        : []),
    ]);
    const fixes = found.flatMap(({ schema, owner, onTargetOnly }) => [
      ...(owner ? [`alter schema ${identifier(schema)} owner to ${identifier(owner.source)}`] : []),
      ...onTargetOnly.map(
        ({ privilege, grantee }) =>
          `revoke ${privilege.toLowerCase()} on schema ${identifier(schema)} from ${grantee === null ? 'public' : identifier(grantee)}`,
      ),
    ]);
    return warning(
      'target-schema-rights',
      `existing schemas on the target keep their owner and grants: ${list(shown)}`,
      `If the application needs those of the source, on the target: ${statements(fixes)}`,
    );
  },
});
