/** How a lease leaves the slot: free, and with the confirmed LSN recorded by the source. */
import type pg from 'pg';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import type { ReplicationReader } from '../replication/reader.ts';
import { confirmedBySource, released } from './slot-claim.ts';

/** Confirms the LSN and releases the slot for the next lease. Without an answer from the source, only warns. */
export async function leaveSlot(
  {
    source,
    migration,
    reader,
    work,
  }: {
    readonly source: pg.Client;
    readonly migration: Migration;
    readonly reader: ReplicationReader;
    readonly work: Work;
  },
  lsn: Lsn,
): Promise<void> {
  const pid = reader.backendPid;
  const step = (): void => work.beat({ phase: 'stream', step: 'ending', confirmedLsn: lsn });
  try {
    step();
    reader.confirm(lsn);
    if (!(await confirmedBySource(source, migration.slot, lsn))) {
      work.log.warn('the source has not recorded the confirmed LSN yet', { lsn });
    }
    step();
    await reader.stop();
    if (!(await released(source, migration.slot, pid))) {
      work.log.warn('the slot is still in use', { slot: migration.slot });
    }
  } catch (error) {
    const { code } = classify(error, {}, 'Internal');
    work.log.warn('the source did not answer at the end of the lease', { code });
  }
}
