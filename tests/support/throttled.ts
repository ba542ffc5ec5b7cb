/** A copy over several streams whose limits are changed while it runs. */
import { expect } from 'vitest';
import { UNLIMITED, type Limits } from '../../contract/limits.ts';
import type { Migration } from '../../contract/migration.ts';
import type { CopyPlan, CopyResult } from '../../contract/work.ts';
import { storeLimits } from '../../postgres/store/throttle.ts';
import { createSlot } from '../../postgres/slot/create-slot.ts';
import { copyChunks } from '../../postgres/snapshot/copy-run.ts';
import { planCopy } from '../../postgres/snapshot/copy-plan.ts';
import { inputOf, recordedWork, registered, type RecordedWork } from './control.ts';
import type { FreshPair } from './database.ts';
import { expectEqual } from './equality.ts';
import { until } from './until.ts';

const STREAMS = 3;
const BYTES = /* sql */ `
  create table big (id int primary key, filler text);
  insert into big select i, repeat(md5(i::text), 8) from generate_series(1, 12000) i;`;

/** Stores limits as the workflow does. */
export async function set(
  db: FreshPair,
  migration: Migration,
  version: number,
  limits: Partial<Limits>,
): Promise<void> {
  await storeLimits(db.targetClient, migration, { version, limits: { ...UNLIMITED, ...limits } });
}

/** A table of 3 MB with one chunk for each stream, planned and held. */
export async function planned(
  db: FreshPair,
): Promise<{ migration: Migration; plan: () => Promise<CopyPlan> }> {
  await db.sourceClient.query(BYTES);
  await db.targetClient.query('create table big (id int primary key, filler text)');
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  const tables = { include: ['public.*'] };
  const input = inputOf(db, { tables, copy: { parallelism: STREAMS, chunkMegabytes: 1 } });
  return { migration, plan: () => planCopy(migration, input, recordedWork()) };
}

export interface Running {
  readonly works: readonly RecordedWork[];
  readonly ended: Promise<CopyResult[]>;
  /** Bytes that the streams reported. */
  bytes(): number;
  /** What each stream did with its slot, in order. */
  readonly places: readonly (readonly string[])[];
  /** Streams whose newest heartbeat says that they wait for this. */
  waiting(reason: RegExp): number;
}

/** All runs of the plan at once. */
export function running(migration: Migration, plan: CopyPlan): Running {
  const works = plan.runs.map(() => recordedWork());
  const places = works.map((): string[] => []);
  const last = (work: RecordedWork) => work.beats.at(-1);
  const results = plan.runs.map((run, i) => {
    const seen = places[i];
    const place = {
      lend: () => void seen?.push('lend'),
      retake: (how: string) => Promise.resolve(void seen?.push(how)),
    };
    const work = { ...(works[i] ?? recordedWork()), place };
    return copyChunks(migration, { pass: plan.pass, run }, work);
  });
  return {
    works,
    places,
    ended: Promise.all(results),
    bytes: () => works.reduce((sum, work) => sum + Number(last(work)?.['bytes'] ?? 0), 0),
    waiting: (reason) =>
      works.filter((work) => reason.test(String(last(work)?.['waitingFor'] ?? ''))).length,
  };
}

/** Every stream has read part of its chunk. */
export async function inTheMiddle(copy: Running): Promise<void> {
  await until('all streams to be in the middle', () =>
    copy.works.every(({ beats }) => beats.some((beat) => Number(beat['bytes'] ?? 0) > 0)),
  );
}

/** Every chunk once, and the same rows on both sides. */
export async function copiedOnce(db: FreshPair, plan: CopyPlan, results: readonly CopyResult[]) {
  expect(results.reduce((sum, { chunks }) => sum + chunks, 0)).toBe(plan.chunksTotal);
  expect(results.every(({ skipped }) => skipped === 0)).toBe(true);
  await expectEqual(db.sourceClient, db.targetClient);
}
