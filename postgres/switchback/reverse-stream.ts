/** A lease of the way back: the stream of the other direction, over the tables that the plan has. */
import type { Migration } from '../../contract/migration.ts';
import { reverseOf } from '../../contract/reversed.ts';
import type { Checkpoint, StreamReport, Work } from '../../contract/work.ts';
import { nameOf } from '../catalog/table-name.ts';
import { connectTarget } from '../session/open.ts';
import { readPlannedSizes, readUnfinished } from '../store/planned-relation.ts';
import { readNotReturned } from '../store/way-back.ts';
import { fenceStream, streamChanges } from '../stream/lease.ts';
import type { ParkedStreams } from '../stream/parked.ts';
import type { StreamOptions } from '../stream/stream-options.ts';
import { onWayBack, wayBackLost } from './on-way-back.ts';
import { reverseSelection } from './reverse-sides.ts';
import { requireReplicaRole } from './reverse-slot.ts';

/**
 * Streams from the new database to the old one, as `streamChanges` does.
 * @param options with the migration's own selection.
 * @throws MigrationError as `streamChanges`; `WayBackLost` when only copying a table again could help.
 */
export async function streamReverse(
  migration: Migration,
  options: StreamOptions,
  work: Work,
  parked?: ParkedStreams,
): Promise<StreamReport> {
  const reverse = reverseOf(migration);
  return onWayBack(reverse, 'stream', async () => {
    const left = await begin(migration, reverse);
    const exclude = [...options.exclude, ...left];
    const selection = reverseSelection({ ...options, exclude });
    return streamChanges(reverse, { ...options, ...selection }, work, parked);
  });
}

/** Stops a stream that does not answer: see `fenceStream`. */
export async function fenceReverse(migration: Migration): Promise<Checkpoint> {
  const reverse = reverseOf(migration);
  return onWayBack(reverse, 'fence the stream', () => fenceStream(reverse));
}

/** Patterns of the tables that the plan leaves out. @throws MigrationError `WayBackLost` if an earlier lease found that out. */
async function begin(migration: Migration, reverse: Migration): Promise<string[]> {
  await using old = await connectTarget(reverse, 'apply');
  await requireReplicaRole(old, migration);
  const spoiled = new Set(await readUnfinished(old, reverse, null));
  if (spoiled.size > 0) {
    const rows = await readPlannedSizes(old, reverse);
    const names = rows.filter(({ id }) => spoiled.has(id)).map(why);
    throw wayBackLost(reverse, names.slice(0, SHOWN).join('; '));
  }
  return await readNotReturned(old, reverse);
}

const SHOWN = 5;

function why(row: Awaited<ReturnType<typeof readPlannedSizes>>[number]): string {
  return `${nameOf(row)} ${row.state === 'resync' ? row.reason : 'is new on the new database'}`;
}
