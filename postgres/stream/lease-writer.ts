/** The writer of a lease, with everything that must hold before it commits a batch. */
import type { Batch } from '../apply/batch.ts';
import { verifyCatalog } from '../drift/verify-catalog.ts';
import type { Left } from '../drift/table-mapping.ts';
import { confirmTables } from '../store/table-move.ts';
import type { BarrierRecord } from './barrier-record.ts';
import type { LeaseParts } from './lease-parts.ts';
import { StandbyWatch } from './synchronous-standby.ts';
import { TargetWriter } from './target-writer.ts';
import { TriggerCheck } from './trigger-check.ts';

/** Commits become visible within milliseconds, with synchronous replication within a round trip. */
const HIDDEN_WARN_MS = 5_000;

export interface LeaseWriter {
  readonly writer: TargetWriter;
  /** Grows while it waits for a transaction to become visible. */
  readonly looks: () => number;
}

/** @param inTurn runs a task on the source's session. */
export function leaseWriter(
  { migration, work, source, applier, attempt, plan, reader }: LeaseParts,
  barriers: BarrierRecord,
  inTurn: <T>(task: () => Promise<T>) => Promise<T>,
): LeaseWriter {
  let looks = 0;
  let warned = false;
  // The heartbeats continue during this wait: without the watch, it would look to the operator as if the source had no commits.
  const standby = new StandbyWatch(reader.backendPid);
  const waiting = async (forMs: number): Promise<void> => {
    // The wait may be long: an abort discards the batch, and the session is free to release the slot.
    work.signal.throwIfAborted();
    looks += 1;
    await standby.look(source, forMs);
    if (warned || forMs < HIDDEN_WARN_MS) return;
    warned = true;
    work.log.warn(
      'the source has sent a transaction that is not visible there yet: its commit most likely waits for a synchronous standby',
      { seconds: Math.round(forMs / 1000) },
    );
  };
  const enabled = new TriggerCheck(applier.replicaRole);
  const verify = (batch: Batch): Promise<void> => {
    enabled.met(batch.relations);
    plan.truncating(batch.changes);
    return inTurn(() => {
      const left = plan.mappings.takeMet();
      const renamed = (one: Left): Promise<void> => plan.leave(one);
      const { fingerprints, types, schemaRows } = plan;
      const refuseDoubtful = (): void => plan.refuseDoubtful();
      const known = { fingerprints, types, left, renamed, schemas: schemaRows, refuseDoubtful };
      return verifyCatalog(source, batch, known, waiting);
    });
  };
  const writer = new TargetWriter(
    applier,
    attempt,
    plan.newest,
    verify,
    ({ xids }, consistentAt) =>
      inTurn(async () => {
        await plan.explained(xids);
        if (consistentAt !== null) await confirmTables(applier.client, migration, consistentAt);
        await enabled.refuse(applier.client);
      }),
    enabled,
    barriers,
  );
  return { writer, looks: () => looks };
}
