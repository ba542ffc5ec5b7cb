/** The name of a table, in the three forms that it is needed in. */
import pg from 'pg';
import type { TableName } from './selection.ts';

/** Key of maps by table: no two names share one, whatever characters they hold. */
export function keyOfName({ schema, name }: TableName): string {
  return JSON.stringify([schema, name]);
}

/** For SQL, always quoted: `"public"."orders"`. */
export function quoted({ schema, name }: TableName): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
}

/** For people: `public.orders`. */
export function nameOf({ schema, name }: TableName): string {
  return `${schema}.${name}`;
}
