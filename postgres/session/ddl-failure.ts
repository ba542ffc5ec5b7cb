/** Running the archive's statements: the settings that they require, and errors without the server's message text. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { FailureCode } from '../../contract/failure-catalogue.ts';
import { classify, sqlstate } from '../connection/failure.ts';

/**
 * The settings at the start of pg_restore's script. An empty search path gives every name the meaning that it had for pg_dump;
 * row_security off turns silently filtered rows into an error.
 */
const SCRIPT_SETTINGS = /* sql */ `
set client_encoding = 'UTF8';
set standard_conforming_strings = on;
set search_path = '';
set check_function_bodies = false;
set xmloption = content;
set client_min_messages = warning;
set row_security = off;
`;

/**
 * Sets a session up for statements of the archive.
 * @param further statements, in the same round trip.
 */
export async function prepareSession(client: pg.ClientBase, further = ''): Promise<void> {
  await client.query(SCRIPT_SETTINGS + further);
}

export interface Failing {
  /** What failed, as the beginning of the message: `TABLE app.orders could not be created`. */
  readonly what: string;
  readonly code: FailureCode;
  readonly object?: string;
  readonly table?: string;
  readonly constraint?: string;
  readonly side?: 'source' | 'target';
  /** Appended to the sentence, including its punctuation. */
  readonly advice?: string;
}

/**
 * Turns a driver's error into a MigrationError: lost connections, contention and missing privileges keep their own codes; all
 * others become `failing.code` with the object's name and the SQLSTATE. The server's text is dropped.
 */
export function failed(error: unknown, failing: Failing): MigrationError {
  const known = classify(
    error,
    { step: failing.what, side: failing.side ?? 'target', ...tableOf(failing) },
    failing.code,
  );
  if (known.code !== failing.code || error instanceof MigrationError) return known;
  const state = sqlstate(error);
  return new MigrationError(
    failing.code,
    `${failing.what} on the ${failing.side ?? 'target'}${state === undefined ? '' : ` (SQLSTATE ${state})`}${failing.advice ?? ''}`,
    {
      ...(failing.object === undefined ? {} : { object: failing.object }),
      ...tableOf(failing),
      ...(failing.constraint === undefined ? {} : { constraint: failing.constraint }),
      ...(state === undefined ? {} : { sqlstate: state }),
    },
  );
}

function tableOf(failing: Failing): { table?: string } {
  return failing.table === undefined ? {} : { table: failing.table };
}

/** Class 23: the rows break an index or constraint. */
export function isViolation(error: unknown): boolean {
  return sqlstate(error)?.startsWith('23') ?? false;
}
