/**
 * A lease that continues with what the previous one left open (parked.ts). It runs the steps of every lease start in another
 * order. It takes the next epoch only if epoch and applied LSN are those of the parked stream, so no one else has written since.
 * It compares all tables while the stream continues, over separate sessions. That check decides nothing: if it finds a difference
 * or fails, the lease restarts in the ordinary way, which decides.
 */
import type { Migration } from '../../contract/migration.ts';
import { compareLsn } from '../../contract/lsn.ts';
import type { Work } from '../../contract/work.ts';
import { cut } from '../connection/connect.ts';
import { continueEpoch, type Attempt } from '../store/epoch.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { within } from '../replication/deadline.ts';
import { firingStates, readEnabledOnPlanned } from '../schema/enabled-trigger.ts';
import { streamLease } from './lease-attempt.ts';
import type { AnchorPace } from './anchor-pace.ts';
import type { EndedLease } from './lease-parts.ts';
import type { StreamOptions } from './stream-options.ts';
import { DRIFT_CHECKED, CatalogMoved } from '../drift/catalog-moved.ts';
import type { OpenStream, ParkedStreams } from './parked.ts';
import { readPlan } from './lease-plan.ts';

/** For one statement on an open session; the ordinary start has its own limits. */
const TAKE_MS = 2_000;
/**
 * How long leases continue over the same sessions. What a stream and its sessions cache grows with the tables they meet, and only
 * a new start connects to a server that the service points to since then.
 */
const MOST_OPEN_MS = 1_800_000;

/**
 * Streams for one lease over the sessions that the previous one left open.
 * @returns null when there is nothing to continue; everything is closed then, and the lease must start in the ordinary way.
 * @throws CatalogMoved when the check found something while the stream continued: the lease must start in the ordinary way; and
 *   like `streamLease`.
 */
export async function continueLease(
  migration: Migration,
  options: StreamOptions,
  work: Work,
  {
    parked,
    abandoned,
    pace,
  }: { readonly parked: ParkedStreams; readonly abandoned: AbortSignal; readonly pace: AnchorPace },
): Promise<Pick<EndedLease, 'report' | 'again'> | null> {
  const stream = parked.take(migration);
  if (stream === null) return null;
  await using held = stream.held.move();
  const attempt = await tryTakeover(stream, { migration, options, work });
  if (attempt === null || abandoned.aborted) {
    // A regular close could take longer than the heartbeat timeout.
    cut(stream.source);
    cut(stream.applier.client);
    return null;
  }
  stream.plan.renew(attempt);
  work.log.info('stream continues', {
    epoch: attempt.epoch.toString(),
    confirmedLsn: attempt.confirmedLsn,
  });
  const checking = new AbortController();
  let checked = false;
  let checkEnded = Promise.resolve();
  try {
    const { report, open, again } = await streamLease(
      {
        ...{ ...stream, options, work, attempt, pace },
        checked: () => checked,
        mayStayOpen: performance.now() - stream.openedAt < MOST_OPEN_MS,
      },
      (loop) => {
        checkEnded = checkAgain(stream, checking.signal).then(
          () => void (checked = true),
          // For any reason: the ordinary start finds it, too, and reports it.
          () => loop.fail(new CatalogMoved(DRIFT_CHECKED, null)),
        );
      },
    );
    if (open) parked.park({ ...stream, ...open, options, held: held.move() });
    return { report, again };
  } finally {
    checking.abort();
    // The signal closes its connections. No one waits for a server that does not answer.
    await within(TAKE_MS, checkEnded).catch(() => undefined);
  }
}

/** @returns null when the stream must not continue. */
async function tryTakeover(
  { migration, options, source, reader, applier, attempt }: OpenStream,
  now: { readonly migration: Migration; readonly options: StreamOptions; readonly work: Work },
): Promise<Attempt | null> {
  const { floor } = now.options;
  if (now.options.until !== null || now.work.signal.aborted || reader.failed) return null;
  if (decisive(migration, options) !== decisive(now.migration, now.options)) return null;
  if (floor !== null && compareLsn(attempt.confirmedLsn, floor) < 0) return null;
  const taking = continueEpoch(applier.client, migration, attempt, now.work.scheduledAt ?? null);
  // A session that died while idle has not reported it.
  const alive = source.query(/* sql */ `select`);
  try {
    const [next] = await within(TAKE_MS, Promise.all([taking, alive]));
    return next;
  } catch {
    // A session does not answer. If the server took the epoch nevertheless, the next attempt takes a later one.
    return null;
  }
}

/** Everything that must be equal for a lease to continue the stream. Start and length may differ between leases. */
function decisive(
  migration: Migration,
  { floor: _, leaseMs: __, ...options }: StreamOptions,
): string {
  return JSON.stringify([migration, options]);
}

/**
 * Compares all tables, as the start of a lease does, and verifies the servers that the services point to now.
 * @throws unless everything matches the plan.
 */
async function checkAgain(
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
  const enabled = await readEnabledOnPlanned(target, migration, firingStates(applier.replicaRole));
  if (enabled.length > 0) throw new CatalogMoved(DRIFT_CHECKED, null);
}
