/** Schemas that are on the target already: their owner and grants stay as they are. */
import { compareSchemaRights, wordGrant } from '../../catalog/schema-right.ts';
import { createsTables, type Check } from '../facts.ts';
import { identifier, list, statements, warning } from '../wording.ts';

export const schemaRight: Check = ({ source, target, input }) => {
  // With the tables already there, owners and grants are the operator's.
  if (source === null || target === null || !createsTables(target)) return [];
  const { owners, grants } = input.schema;
  const found = compareSchemaRights(source.schemaRights, target.schemaRights, {
    ...{ owners, grants, ours: target.role.name },
    // What a role that the target lacks could do there as an owner, no one misses.
    isKnown: (name) => target.roles.has(name),
  });
  if (found.length === 0) return [];
  const shown = found.flatMap(({ schema, owner, onTargetOnly }) => [
    ...(owner
      ? [`${schema} belongs to ${owner.source} on the source, to ${owner.target} here`]
      : []),
    ...(onTargetOnly.length > 0
      ? [`${schema} grants ${list(onTargetOnly.map(wordGrant))} here only`]
      : []),
  ]);
  const fixes = found.flatMap(({ schema, owner, onTargetOnly }) => [
    ...(owner ? [`alter schema ${identifier(schema)} owner to ${identifier(owner.source)}`] : []),
    ...onTargetOnly.map(
      ({ privilege, grantee }) =>
        `revoke ${privilege.toLowerCase()} on schema ${identifier(schema)} from ${grantee === null ? 'public' : identifier(grantee)}`,
    ),
  ]);
  return [
    warning(
      'target-schema-rights',
      `schemas that the target has already keep their owner and grants: ${list(shown)}`,
      `If the application needs those of the source, on the target: ${statements(fixes)}`,
    ),
  ];
};
