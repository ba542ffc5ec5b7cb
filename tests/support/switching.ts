/** The steps of a cutover and of a switch back, one after the other, as the workflow calls them. */
import type pg from 'pg';
import { expect } from 'vitest';
import { cutoverId } from '../../contract/cutover.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { armSource } from '../../postgres/cutover/arm-source.ts';
import { compareCounts } from '../../postgres/cutover/compare-counts.ts';
import { laterChanges } from '../../postgres/cutover/later-changes.ts';
import { prepareBox } from '../../postgres/cutover/prepare-box.ts';
import { sealSource } from '../../postgres/cutover/seal-source.ts';
import { switchSides } from '../../postgres/cutover/switch-sides.ts';
import { fenceOf } from '../../postgres/fence/kinds.ts';
import { closeTarget, openTarget } from '../../postgres/fence/target-fence.ts';
import { planReverse } from '../../postgres/switchback/reverse-plan.ts';
import { reverseSides } from '../../postgres/switchback/reverse-sides.ts';
import { openWayBack } from '../../postgres/switchback/reverse-slot.ts';
import { startReverse } from '../../postgres/switchback/reverse-start.ts';
import { streamReverse } from '../../postgres/switchback/reverse-stream.ts';
import { inputOf } from './control.ts';
import type { FreshPair } from './database.ts';
import { drain, OPTIONS, startMigration, testWork } from './stream.ts';
import { streamChanges } from './lease.ts';

export const FENCE = fenceOf('trigger');
const BOX_MS = 60_000;

export interface Direction {
  readonly migration: Migration;
  readonly input: MigrationInput;
  readonly until: (mark: Lsn) => Promise<void>;
}

/** The steps of a fenced cutover up to the seal, and the last drain. */
export async function sealed({ migration, input, until }: Direction, cutover: string) {
  await prepareBox(migration, input, FENCE, undefined, testWork());
  const box = { cutover, milliseconds: BOX_MS, endSessions: false };
  const armed = await armSource(migration, FENCE, box, testWork());
  if (armed.decided !== null) throw new Error('decided already');
  await until(armed.mark);
  await compareCounts(migration, input, testWork());
  const { signal, beat } = testWork();
  const late = laterChanges(migration, input, armed.mark, signal, beat, 'fenced');
  expect(await late).toEqual([]);
  const seal = await sealSource(migration, FENCE, cutover, testWork());
  if (seal.decided !== null || seal.mark === null) throw new Error('not sealed');
  await until(seal.mark);
  const { deadline } = armed;
  return { cutover, since: seal.mark, deadline, milliseconds: BOX_MS, sequenceMargin: 10 };
}

const there = (db: FreshPair, migration: Migration): Direction => ({
  migration,
  input: inputOf(db),
  until: async (until) => {
    while (!(await streamChanges(migration, { ...OPTIONS, until }, testWork())).reached);
  },
});

export async function back(db: FreshPair, migration: Migration): Promise<Direction> {
  const until = async (mark: Lsn): Promise<void> => {
    const options = { ...OPTIONS, until: mark };
    while (!(await streamReverse(migration, options, testWork())).reached);
  };
  return { ...(await reverseSides(migration, inputOf(db))), until };
}

/** Cuts over to the new database, and starts the way back. */
export async function switched(db: FreshPair, ddl: string): Promise<Migration> {
  return (await switchedAt(db, ddl)).migration;
}

/** @returns also where the way back has started. */
export async function switchedAt(db: FreshPair, ddl: string) {
  const migration = await startMigration(db, ddl);
  await closeTarget(db.targetClient, migration, testWork());
  await openWayBack(migration, testWork());
  await drain(db, migration);
  const order = await sealed(there(db, migration), cutoverId(migration, 'there'));
  await planReverse(migration, inputOf(db), testWork());
  const open = (tx: pg.ClientBase) => openTarget(tx, migration);
  const report = await switchSides(migration, inputOf(db), FENCE, order, open, testWork());
  expect(report.decided).toBe('switched');
  if (report.releaseLsn === null) throw new Error('no release');
  await startReverse(migration, report.releaseLsn, testWork());
  return { migration, released: report.releaseLsn };
}
