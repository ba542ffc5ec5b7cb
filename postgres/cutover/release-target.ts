/**
 * The release: one transaction on the target, whose commit is the point of no return. It inserts the outcome, and everything that
 * must be so when the application comes, the target open among it, is so from the same instant. Who does not get to insert the
 * outcome writes nothing, reads the row and follows it.
 *
 * Triggers are the exception: enabling one locks its table, and tens of thousands in one transaction need more locks than the
 * server has. They are enabled before, in batches with marks (schema/disable-trigger.ts), while the source is sealed and the target
 * still closed, and the release only proves that none is left. A cutover that is undone disables them before the next change.
 */
import type { OutcomeReport } from '../../contract/cutover.ts';
import { MigrationError } from '../../contract/failure.ts';
import { isLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { cutoverPoint } from '../apply/failpoint.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import type { Session } from '../session/session.ts';
import { holdEpoch, takeEpoch } from '../store/epoch.ts';
import { decide, noteRelease, readOutcome } from '../store/outcome.ts';
import { messagePrefix } from '../wal2json/plugin-options.ts';
import { reportOf, requireOutcome, type Attempting } from './undo-cutover.ts';

/** What else happens in the release. */
export interface Releasing {
  /** After the outcome: what has to hold, or to change, with it. An error undoes the whole transaction. */
  readonly also: (target: Session) => Promise<void>;
  /** Milliseconds since the arming, by the source's clock. */
  readonly downtime: () => Promise<number>;
  /** Last: what no rollback takes back (`setval`). Only the attempt that inserted the outcome gets there. */
  readonly last: (target: Session) => Promise<void>;
}

/** Thrown to leave the transaction: somebody else has decided. */
class Overtaken extends Error {}

/**
 * Decides `switched` unless the cutover is decided, and follows the outcome. Idempotent.
 * @param target a session outside of a transaction.
 * @throws MigrationError `Fenced` when a later attempt took over, `CheckpointMissing`; and what `also` and `last` throw.
 */
export async function releaseTarget(
  target: Session,
  migration: Migration,
  cutover: string,
  { also, downtime, last }: Releasing,
  { scheduledAt, meet }: Attempting,
): Promise<OutcomeReport> {
  const before = await readOutcome(target, cutover);
  if (before) return reportOf(before);
  await cutoverPoint('before-release', meet);
  // Ends the backend of an earlier attempt: its uncommitted row would make our insert wait.
  const { epoch } = await takeEpoch(target, migration, null, scheduledAt ?? null);
  // A decision that a crash of the target forgets would be taken twice.
  await target.query(/* sql */ `set synchronous_commit = on`);
  await inTransaction(target, async () => {
    await holdEpoch(target, migration, epoch);
    if (!(await decide(target, migration, cutover, 'switched'))) throw new Overtaken();
    await also(target);
    const lsn = await emitRelease(target, migration, cutover);
    await noteRelease(target, cutover, { lsn, downtimeMs: await downtime() });
    await last(target);
    await cutoverPoint('before-release-commit', meet);
  }).catch((error: unknown) => {
    if (!(error instanceof Overtaken)) throw error;
  });
  await cutoverPoint('after-release', meet);
  return reportOf(await requireOutcome(target, migration, cutover));
}

/**
 * The message where a way back starts. All our commits start before it; the release itself carries no row of a selected table, and
 * everything that the application writes commits after it.
 */
export async function emitRelease(
  target: Session,
  migration: Migration,
  cutover: string,
): Promise<Lsn> {
  const { rows } = await target.query<{ lsn: string }>(
    /* sql */ `select pg_catalog.pg_logical_emit_message(true, $1, $2)::text as lsn`,
    [
      messagePrefix(migration),
      JSON.stringify({ kind: 'release', migration: migration.id, cutover }),
    ],
  );
  const lsn = rows[0]?.lsn;
  if (isLsn(lsn)) return lsn;
  throw new MigrationError('Internal', 'the target returned no position for the release');
}
