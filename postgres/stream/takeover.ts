/**
 * A lease that goes on with what the one before left open (parked.ts). It does what every lease begins with, in another order: it takes
 * the next epoch only from the epoch and the position that the stream was left with, so no one else has written since; and it compares
 * all tables while the stream goes on, over sessions of their own. That look decides nothing: if it does not find everything as the plan
 * says, or fails, the lease begins again in the ordinary way, which does decide.
 */
import type { Migration } from '../../contract/migration.ts';
import { compareLsn } from '../../contract/lsn.ts';
import type { StreamReport, Work } from '../../contract/work.ts';
import { cut } from '../connection/session.ts';
import { continueEpoch, type Attempt } from '../control/epoch.ts';
import { connectSource, connectTarget } from '../identity/connect.ts';
import { within } from '../replication/deadline.ts';
import { hasSchemaControl } from '../schema/control.ts';
import { firingStates, readEnabledOnPlanned } from '../schema/enabled-trigger.ts';
import { streamLease } from './attempt.ts';
import type { StreamOptions } from './changes.ts';
import { DRIFT_CHECKED, CatalogMoved } from './moved.ts';
import type { OpenStream, ParkedStreams } from './parked.ts';
import { readPlan } from './plan.ts';

/** One statement on an open session; the ordinary way is bounded by itself. */
const TAKE_MS = 2_000;
/**
 * For so long leases go on over the same sessions. What a stream and its sessions remember of tables grows with those they meet, and
 * only a new beginning moves to a server that the service points to since.
 */
const MOST_OPEN_MS = 1_800_000;

/**
 * Streams for one lease over what is open from the one before.
 * @returns null when there is nothing to go on with, and nothing of it is open any more: the lease has to begin in the ordinary way.
 * @throws CatalogMoved for the same, when the stream went on until the look found something; and as `streamLease`.
 */
export async function continueLease(
  migration: Migration,
  options: StreamOptions,
  work: Work,
  { parked, abandoned }: { readonly parked: ParkedStreams; readonly abandoned: AbortSignal },
): Promise<StreamReport | null> {
  const stream = parked.take(migration);
  if (stream === null) return null;
  await using held = stream.held.move();
  const attempt = await taken(stream, { migration, options, work });
  if (attempt === null || abandoned.aborted) {
    // A polite end could take longer than a heartbeat may.
    cut(stream.source);
    cut(stream.applier.client);
    return null;
  }
  stream.plan.renew(attempt);
  work.log.info('stream goes on', {
    epoch: attempt.epoch.toString(),
    confirmedLsn: attempt.confirmedLsn,
  });
  const looking = new AbortController();
  let checked = false;
  let looked = Promise.resolve();
  try {
    const { report, open } = await streamLease(
      {
        ...{ ...stream, options, work, attempt },
        checked: () => checked,
        mayStayOpen: performance.now() - stream.openedAt < MOST_OPEN_MS,
      },
      (loop) => {
        looked = lookAgain(stream, looking.signal).then(
          () => void (checked = true),
          // Whatever it was: the ordinary way meets it, too, and says what it is.
          () => loop.fail(new CatalogMoved(DRIFT_CHECKED, null)),
        );
      },
    );
    if (open) parked.park({ ...stream, ...open, options, held: held.move() });
    return report;
  } finally {
    looking.abort();
    // Its connections end by the signal, or by themselves: no one waits for a server that does not answer.
    await within(TAKE_MS, looked).catch(() => undefined);
  }
}

/** @returns null when the stream must not go on. */
async function taken(
  { migration, options, source, reader, applier, attempt }: OpenStream,
  now: { readonly migration: Migration; readonly options: StreamOptions; readonly work: Work },
): Promise<Attempt | null> {
  const { floor } = now.options;
  if (now.options.until !== null || now.work.signal.aborted || reader.failed) return null;
  if (decisive(migration, options) !== decisive(now.migration, now.options)) return null;
  if (floor !== null && compareLsn(attempt.confirmedLsn, floor) < 0) return null;
  const taking = continueEpoch(applier.client, migration, attempt, now.work.scheduledAt ?? null);
  // One that died while it was idle has told no one.
  const alive = source.query(/* sql */ `select`);
  try {
    const [next] = await within(TAKE_MS, Promise.all([taking, alive]));
    return next;
  } catch {
    // A session that does not answer. If the server took the epoch nevertheless, the next attempt takes a later one.
    return null;
  }
}

/** Everything that the stream was opened for. Where it begins and how long it lasts may differ from lease to lease. */
function decisive(
  migration: Migration,
  { floor: _, leaseMs: __, ...options }: StreamOptions,
): string {
  return JSON.stringify([migration, options]);
}

/**
 * Compares all tables, as the beginning of a lease does, and recognizes both servers where the services point to now.
 * @throws unless everything is as the plan says.
 */
async function lookAgain(
  { migration, options, plan, applier }: OpenStream,
  signal: AbortSignal,
): Promise<void> {
  await using target = await connectTarget(migration, 'plan', { signal });
  await using source = await connectSource(migration, 'plan', { target, signal });
  const { ignore } = options;
  const { view } = await readPlan(source, target, migration, {
    ...{ selection: options, attempt: null, met: null, leaveAll: false, compared: true },
    ...(ignore === undefined ? {} : { ignore }),
  });
  if (view !== plan.view || !(await applier.isCurrent(target)))
    throw new CatalogMoved(DRIFT_CHECKED, null);
  if (!(await hasSchemaControl(target))) return;
  const enabled = await readEnabledOnPlanned(target, migration, firingStates(applier.replicaRole));
  if (enabled.length > 0) throw new CatalogMoved(DRIFT_CHECKED, null);
}
