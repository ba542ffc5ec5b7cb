/**
 * Owners and grants of schemas. A schema that exists on the target keeps its owner, whose privileges pg_dump does not dump as
 * grants, and its additional grants.
 */
import type pg from 'pg';
import { SYSTEM_SCHEMAS } from './own-object.ts';

export interface SchemaRights {
  readonly schema: string;
  readonly owner: string;
  /** Whether the owner is PostgreSQL's default: `public`, with its owner up to 14 or from 15 on. */
  readonly stock: boolean;
  readonly grants: readonly SchemaGrant[];
}

interface SchemaGrant {
  readonly privilege: string;
  readonly grantee: string | null;
}

export interface RightsDifference {
  readonly schema: string;
  /** Null if both sides have the same owner. */
  readonly owner: { readonly source: string; readonly target: string } | null;
  readonly onTargetOnly: readonly SchemaGrant[];
}

const RIGHTS = /* sql */ `
select n.nspname as schema, pg_catalog.pg_get_userbyid(n.nspowner) as owner,
       n.nspname = 'public' and (n.nspowner = 10 or pg_catalog.pg_get_userbyid(n.nspowner) = 'pg_database_owner') as stock,
       coalesce((select json_agg(json_build_object('privilege', x.privilege_type, 'grantee', r.rolname) order by x.privilege_type, r.rolname)
                   from pg_catalog.aclexplode(n.nspacl) x left join pg_catalog.pg_roles r on r.oid = x.grantee
                  where x.grantee <> n.nspowner), '[]') as grants
  from pg_catalog.pg_namespace n
 where n.nspname !~ '^pg_' and n.nspname not in (${SYSTEM_SCHEMAS})
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and d.objid = n.oid and d.deptype = 'e')
 order by 1`;

/** Rights of all schemas except the system's, walferry's and those of extensions. */
export async function readSchemaRights(client: pg.ClientBase): Promise<SchemaRights[]> {
  return (await client.query<SchemaRights>(RIGHTS)).rows;
}

/**
 * Schemas whose rights differ. Grants that the target lacks are not reported: the schema copy adds them. Pure.
 * @param ours walferry's role on the target; its grants serve the migration and are ignored.
 * @param isKnown whether the target has a role; an owner that it does not have is not reported.
 */
export function compareSchemaRights(
  source: readonly SchemaRights[],
  target: readonly SchemaRights[],
  {
    owners,
    grants,
    ours,
    isKnown = () => true,
  }: {
    readonly owners: boolean;
    readonly grants: boolean;
    readonly ours: string;
    readonly isKnown?: (role: string) => boolean;
  },
): RightsDifference[] {
  const there = new Map(target.map((one) => [one.schema, one]));
  return source.flatMap((one) => {
    const other = there.get(one.schema);
    if (!other) return [];
    const isOther =
      owners && one.owner !== other.owner && !(one.stock && other.stock) && isKnown(one.owner);
    const given = new Set(one.grants.map(keyOf));
    const onTargetOnly = grants
      ? other.grants.filter(
          (grant) =>
            grant.grantee !== ours && grant.grantee !== one.owner && !given.has(keyOf(grant)),
        )
      : [];
    if (!isOther && onTargetOnly.length === 0) return [];
    const owner = isOther ? { source: one.owner, target: other.owner } : null;
    return [{ schema: one.schema, owner, onTargetOnly }];
  });
}

export function wordGrant({ privilege, grantee }: SchemaGrant): string {
  return `${privilege} to ${grantee ?? 'PUBLIC'}`;
}

function keyOf({ privilege, grantee }: SchemaGrant): string {
  return JSON.stringify([privilege, grantee]);
}
