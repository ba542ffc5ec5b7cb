/** All versions of the control schema, oldest first. A new one is added at the end (../README.md). */
import { VERSION_0001 } from './version-0001.ts';
import { VERSION_0002 } from './version-0002.ts';
import { VERSION_0003 } from './version-0003.ts';
import { VERSION_0004 } from './version-0004.ts';
import { VERSION_0005 } from './version-0005.ts';
import { VERSION_0006 } from './version-0006.ts';
import { VERSION_0007 } from './version-0007.ts';

export interface Version {
  readonly number: number;
  /** What changes the schema of the version before it; version 1 creates it. */
  readonly sql: string;
}

export const VERSIONS: readonly Version[] = [
  { number: 1, sql: VERSION_0001 },
  { number: 2, sql: VERSION_0002 },
  { number: 3, sql: VERSION_0003 },
  { number: 4, sql: VERSION_0004 },
  { number: 5, sql: VERSION_0005 },
  { number: 6, sql: VERSION_0006 },
  { number: 7, sql: VERSION_0007 },
];
