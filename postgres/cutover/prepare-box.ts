/**
 * Everything that a cutover does before it stops a write: finds an outcome that is there already, installs the fence, and looks how
 * long the writers of this moment would hold it up.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Prepared } from '../../contract/cutover.ts';
import { MigrationError } from '../../contract/failure.ts';
import { MOST_NAMED, type InstallReport, type ProofReport } from '../../contract/fence.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import { listed } from '../../contract/listed.ts';
import type { Migration } from '../../contract/migration.ts';
import type { CutoverCall, Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { readFencedTables } from '../fence/fenced-tables.ts';
import { readWriterAges } from '../fence/writer.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { noteCutoverCall } from '../store/cutover-call.ts';
import { readSwitched } from '../store/outcome.ts';
import { settleEarlier } from './settle-earlier.ts';

/** VACUUM of a large table holds a lock that the trigger needs; longer than this no one waits for the answer of `cutover`. */
const INSTALL_MS = 20_000;
const PAUSE_MS = 500;

/**
 * Idempotent; stops no write.
 * @param call the update that requests it; a call that another run of the workflow has begun is refused.
 * @throws MigrationError `CutoverRepeated`, `FenceRefused` naming tables that the fence could not be installed on.
 */
export async function prepareBox(
  migration: Migration,
  input: MigrationInput,
  fence: Fence,
  call: CutoverCall | undefined,
  work: Work,
): Promise<Prepared> {
  const { signal } = work;
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    // Before the call is looked at: after a reset a switched migration has to be completed, whoever asks.
    const switched = await readSwitched(target, migration);
    if (switched) {
      const { lsn = null, downtimeMs = null } = switched.release ?? {};
      return { switched: switched.cutover, releaseLsn: lsn, downtimeMs, writer: null, writerMs: 0 };
    }
    await using source = await connectSource(migration, 'cutover', { signal, target });
    // The source may still be sealed for a cutover of a run before a reset. Before the call is refused: no other step would come.
    await settleEarlier({ source, target }, migration, fence, null, work);
    if (call) await noteCutoverCall(target, migration, call);
    const { settings, changes } = await installEverywhere(source, migration, input, fence, work);
    return {
      ...{ switched: null, releaseLsn: null, downtimeMs: null },
      ...(await oldestWriter(source, input)),
      ...(settings === undefined ? {} : { settings }),
      ...(changes === undefined ? {} : { changes }),
    };
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'preparing the cutover' }, 'Internal');
  }
}

/**
 * Of those that the proof would wait for. A role without pg_read_all_stats sees only its own: then the proof finds the others, within
 * the box.
 */
async function oldestWriter(
  source: Session,
  { tables: selection }: MigrationInput,
): Promise<Pick<Prepared, 'writer' | 'writerMs'>> {
  const { tables } = await readFencedTables(source, selection);
  const [oldest] = await readWriterAges(
    source,
    tables.map(({ oid }) => oid),
  );
  if (!oldest) return { writer: null, writerMs: 0 };
  const { pid, user, seconds } = oldest;
  const role = user ?? '?';
  return {
    writer: pid === null ? `prepared transaction of ${role}` : `pid ${pid} (${role})`,
    writerMs: Math.round(1000 * seconds),
  };
}

async function installEverywhere(
  source: Session,
  migration: Migration,
  input: MigrationInput,
  fence: Fence,
  work: Work,
): Promise<InstallReport> {
  const until = performance.now() + INSTALL_MS;
  for (;;) {
    const report = await fence.install(source, migration, input, work);
    const { waiting } = report;
    if (waiting.length === 0) return report;
    if (performance.now() > until) {
      throw new MigrationError(
        'FenceRefused',
        `the fence could not be installed on ${listed(waiting, MOST_NAMED)}: another session has locked the table for ${INSTALL_MS / 1000} s, for example VACUUM. Call cutover again when it is over`,
        { table: waiting[0] ?? '', side: 'source' },
      );
    }
    await sleep(PAUSE_MS, undefined, { signal: work.signal });
  }
}

/** Longer than this a cutover would not wait either. */
const REHEARSED_PROOF_MS = 30_000;

/**
 * Waits for the transactions that write at this moment, as an armed cutover would, but stops none that begins later.
 * @throws MigrationError `WriterRemains` naming one that did not end in time.
 */
export async function rehearseProof(
  migration: Migration,
  fence: Fence,
  work: Work,
): Promise<ProofReport> {
  const { signal } = work;
  try {
    await using source = await connectSource(migration, 'cutover', { signal });
    const how = { withinMs: REHEARSED_PROOF_MS, endSessions: false };
    return await fence.prove(source, migration, work, how);
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'waiting for the present writers' }, 'Internal');
  }
}
