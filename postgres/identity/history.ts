/**
 * Whether a server on another timeline has all WAL up to a position: yes after a failover, unless the promoted standby lagged;
 * usually not after a point-in-time restore.
 */
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, isLsn, parseLsn, type Lsn } from '../../contract/lsn.ts';
import { connect, type SessionOptions } from '../connection/connect.ts';

/**
 * The position at which a timeline branched off its ancestor: up to it, both have the same WAL.
 * @param history content of the later timeline's history file: a line for each ancestor, `timeline TAB position TAB reason`.
 * @returns null if the other timeline is not an ancestor. Pure.
 */
export function leftAt(history: string, ancestor: number): Lsn | null {
  for (const line of history.split('\n')) {
    const [timeline, position] = line.trim().split(/\s+/);
    if (timeline === undefined || !/^\d+$/.test(timeline)) continue;
    if (Number(timeline) === ancestor && isLsn(position)) return parseLsn(position);
  }
  return null;
}

/**
 * Refuses a timeline whose history does not contain the position.
 * @throws MigrationError `SourceRewound`; `Denied` for a role that may not open a walsender.
 */
export async function requireHistory(
  service: string,
  timelines: { readonly known: number; readonly now: number },
  needed: Lsn | null,
  options: SessionOptions,
): Promise<void> {
  const { known, now } = timelines;
  const { signal } = options;
  await using walsender = await connect(service, 'stream', {
    replication: true,
    ...(signal && { signal }),
  });
  const left = now > known ? leftAt(await historyOf(walsender, now), known) : null;
  if (left !== null && (needed === null || compareLsn(needed, left) <= 0)) return;
  const where =
    left === null
      ? `does not descend from timeline ${known}`
      : `branched off timeline ${known} at ${left}`;
  throw new MigrationError(
    'SourceRewound',
    `the source "${service}" is on timeline ${now}, which ${where}, but ${needed ?? 'a later position'} was already copied or applied: a backup was restored, or a lagging standby was promoted`,
    needed === null ? {} : { lsn: needed },
  );
}

async function historyOf(
  walsender: Awaited<ReturnType<typeof connect>>,
  timeline: number,
): Promise<string> {
  // The column is text or bytea, depending on the server's version.
  const { rows } = await walsender.query<{ content: string | Buffer }>(
    `TIMELINE_HISTORY ${timeline}`,
  );
  return rows[0]?.content.toString() ?? '';
}
