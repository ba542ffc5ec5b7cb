/** The three spellings of a table's name. */
import pg from 'pg';
import type { TableName } from './selection.ts';

/** Map key, unique whatever characters the names contain. */
export function keyOfName({ schema, name }: TableName): string {
  return JSON.stringify([schema, name]);
}

/** For SQL, always quoted: `"public"."orders"`. */
export function quoted({ schema, name }: TableName): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
}

/** For messages: `public.orders`. */
export function nameOf({ schema, name }: TableName): string {
  return `${schema}.${name}`;
}
