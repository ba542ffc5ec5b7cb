/** Every role of the target, and whether our role may act for it. */
import { shared, type TargetReading } from '../reading.ts';

export interface RoleRight {
  readonly member: boolean;
  /** Whether our role inherits its rights and may make it an owner. */
  readonly usable: boolean;
}

export const roles = shared(
  async ({ client }: TargetReading): Promise<ReadonlyMap<string, RoleRight>> => {
    const { rows } = await client.query<RoleRight & { name: string }>(/* sql */ `
    select rolname as name, pg_has_role(oid, 'member') as member,
           pg_has_role(oid, 'usage') and case when current_setting('server_version_num')::int4 >= 160000
                                              then pg_has_role(oid, 'set') else true end as usable
      from pg_catalog.pg_roles`);
    return new Map(rows.map(({ name, member, usable }) => [name, { member, usable }]));
  },
);
