/** Facts that differ from those of a ready pair, each with the code and level of the one finding that it gives. */
import type { Case } from './parts.ts';
import { RIGHT_CASES } from './right.ts';
import { SERVERS } from './server.ts';
import { TABLE_CASES } from './table.ts';
import { WAY_BACK_CASES } from './way-back.ts';

export const CASES: readonly Case[] = [
  ...SERVERS,
  ...RIGHT_CASES,
  ...TABLE_CASES,
  ...WAY_BACK_CASES,
];
