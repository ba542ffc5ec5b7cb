/** Names of a migration's fence: several migrations may share a source, and each is armed alone. */
import { createHash } from 'node:crypto';
import pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { FENCE_SCHEMA, FENCE_TRIGGER } from '../catalog/own-object.ts';

/** Enough that two migrations of one source never share a name; names are cut at 63 bytes. */
const HASH_DIGITS = 16;

export interface FenceNames {
  /** Of the trigger, not quoted. */
  readonly trigger: string;
  /** The same for SQL. */
  readonly triggerSql: string;
  /** Of the trigger's function, with its schema, for SQL. */
  readonly functionSql: string;
}

export function fenceNames({ id }: Pick<Migration, 'id'>): FenceNames {
  const hash = createHash('sha256').update(id).digest('hex').slice(0, HASH_DIGITS);
  const trigger = `${FENCE_TRIGGER}_${hash}`;
  return {
    trigger,
    triggerSql: pg.escapeIdentifier(trigger),
    functionSql: `${FENCE_SCHEMA}.refuse_${hash}`,
  };
}
