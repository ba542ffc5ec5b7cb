/** Moments of a server as text that every session reads alike, whatever its DateStyle and time zone are. */

/** @param expression SQL of type timestamptz. @returns SQL of its text: ISO 8601, UTC, microseconds. */
export const isoMoment = (expression: string): string =>
  /* sql */ `pg_catalog.to_char(${expression} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
