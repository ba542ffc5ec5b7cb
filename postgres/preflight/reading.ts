/** What a reader of facts gets: an open session of its side, and what is known by then. */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { ServerFacts } from './server.ts';

export interface Reading {
  readonly client: pg.Client;
  readonly server: ServerFacts;
}

/** A reading that may open further sessions. */
export interface SideReading extends Reading {
  readonly service: string;
  readonly input: MigrationInput;
  readonly signal: AbortSignal;
}

export type SourceReading = SideReading;

export interface TargetReading extends SideReading {
  /**
   * Null: the source could not be read, so nothing is compared with it. Its session has ended: only facts that a check of the
   * list reads from the source are available.
   */
  readonly source: SourceReading | null;
}

export type Reader<Of, T = unknown> = (of: Of) => Promise<T>;

/** A fact that several checks use: the first one to ask reads it, the others share the result. */
export function shared<Of extends object, T>(read: Reader<Of, T>): Reader<Of, T> {
  const values = new WeakMap<Of, Promise<T>>();
  return (of) => {
    const value = values.get(of) ?? read(of);
    values.set(of, value);
    return value;
  };
}

/** The value that the source has, or the other one if it could not be read. */
export async function ofSource<T>(
  { source }: TargetReading,
  reader: Reader<SourceReading, T>,
  unknown: T,
): Promise<T> {
  return source === null ? unknown : await reader(source);
}

/** Reads the one value that a query returns. */
export function value<T>(sql: string): Reader<Reading, T> {
  return async ({ client }) => {
    const { rows } = await client.query<[T]>({ text: sql, rowMode: 'array' });
    const [row] = rows;
    if (!row) throw new Error('a query for one value returned no row');
    return row[0];
  };
}
