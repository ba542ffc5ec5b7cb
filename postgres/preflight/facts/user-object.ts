/** SQL conditions that tell objects of users from those of the system, of extensions and of walferry. */
import { SYSTEM_SCHEMAS } from '../../catalog/own-object.ts';

/** `n` is the row of the schema. */
export const USERS = /* sql */ `n.nspname !~ '^pg_' and n.nspname not in (${SYSTEM_SCHEMAS})`;

export const ofExtension = (catalog: string, oid: string): string => /* sql */ `
  exists (select from pg_catalog.pg_depend x
           where x.classid = 'pg_catalog.${catalog}'::regclass and x.objid = ${oid}
             and x.objsubid = 0 and x.deptype = 'e')`;
