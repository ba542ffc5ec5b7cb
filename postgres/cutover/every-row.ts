/**
 * A whole verification while no one writes: on request, for who has the time. Both sides stand still, so ordinary snapshots show the
 * same state; no anchor is needed, and no stream that could stand at one.
 */
import { randomUUID } from 'node:crypto';
import { MOST_NOT_CHECKED, type EveryRowReport } from '../../contract/cutover.ts';
import { MigrationError } from '../../contract/failure.ts';
import { listed } from '../../contract/listed.ts';
import { parseLsn } from '../../contract/lsn.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { VerificationReport } from '../../contract/verification.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import type { HeldState, StateSource } from '../verification/held-state.ts';
import { runVerification } from '../verification/whole-verification.ts';

const SHOWN = 10;

/** @throws MigrationError `NotEqual` naming tables and how many of their rows differ; their keys are stored as a verification's. */
export async function compareEveryRow(
  migration: Migration,
  input: MigrationInput,
  work: Work,
): Promise<EveryRowReport> {
  const { signal } = work;
  try {
    // Limits and guard would lengthen the time without writes.
    const step = { migration, input, verification: randomUUID(), unpaced: true } as const;
    const report = await runVerification(step, work, standingStill());
    if (report.differing.length > 0) throw notEqual(report);
    const { tables, rows, notCompared } = report;
    return { tables, rows, notCompared: notCompared.slice(0, MOST_NOT_CHECKED) };
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'comparing every row' }, 'NotEqual');
  }
}

/** States of databases in which no one writes selected tables. They live in this process, and so does everything that uses them. */
function standingStill(): StateSource {
  let live: HeldState | null = null;
  return {
    live: () => Promise.resolve(live),
    hold: async (migration, work, use) => {
      const { signal } = work;
      await using target = await connectTarget(migration, 'verify', { signal });
      await using source = await connectSource(migration, 'verify', { signal, target });
      const there = await exported(target);
      const here = await exported(source);
      live = {
        ...{ id: randomUUID(), visible: here.visible, lsn: parseLsn(here.lsn) },
        ...{ sourceSnapshot: here.name, targetSnapshot: there.name },
      };
      try {
        return await use(live, signal);
      } finally {
        live = null;
      }
    },
  };
}

async function exported(
  session: Session,
): Promise<{ readonly name: string; readonly visible: string; readonly lsn: string }> {
  await session.query(/* sql */ `begin isolation level repeatable read read only`);
  const { rows } = await session.query<{ name: string; visible: string; lsn: string }>(/* sql */ `
    select pg_catalog.pg_current_snapshot()::text as visible, pg_catalog.pg_export_snapshot() as name,
           pg_catalog.pg_current_wal_insert_lsn()::text as lsn`);
  const [row] = rows;
  if (row) return row;
  throw new MigrationError('Internal', 'a server returned no snapshot');
}

function notEqual({ differing }: VerificationReport): MigrationError {
  const names = differing.map(
    ({ table, keys, more }) => `${table} (${more ? 'over ' : ''}${keys})`,
  );
  return new MigrationError(
    'NotEqual',
    `rows differ while no one writes, by table and number of keys: ${listed(names, SHOWN)}; their keys are stored: call repair, then cutover again`,
    { table: differing[0]?.table ?? '' },
  );
}
