/** A whole migration between the databases of a pair, step by step in the workflow's order, without Temporal. */
import { expect } from 'vitest';
import { randomBytes } from 'node:crypto';
import { parseInput } from '../../contract/input.ts';
import { type MigrationInput } from '../../contract/input-schema.ts';
import type { Lsn } from '../../contract/lsn.ts';
import { slotName } from '../../contract/slot-name.ts';
import { type Migration } from '../../contract/migration.ts';
import { compareCounts } from '../../postgres/cutover/compare-counts.ts';
import { writeEndMark } from '../../postgres/stream/end-mark.ts';
import { laterChanges } from '../../postgres/cutover/later-changes.ts';
import { setSequences } from '../../postgres/cutover/set-sequences.ts';
import { analyzeTables } from '../../postgres/schema/analyze-tables.ts';
import { buildConstraints } from '../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../postgres/schema/build-indexes.ts';
import { enableTriggers } from '../../postgres/schema/disable-trigger.ts';
import { refreshViews } from '../../postgres/schema/refresh-views.ts';
import { createSlot } from '../../postgres/slot/create-slot.ts';
import { dropSlot } from '../../postgres/slot/drop-slot.ts';
import { copyChunks } from '../../postgres/snapshot/copy-run.ts';
import { holdSnapshot } from '../../postgres/snapshot/snapshot-owner.ts';
import { planCopy } from '../../postgres/snapshot/copy-plan.ts';
import { streamChanges } from './lease.ts';
import { testWork } from './stream.ts';

export class Steps implements AsyncDisposable {
  readonly migration: Migration;
  readonly input: MigrationInput;

  constructor(source: string, target: string, input: Record<string, unknown> = {}) {
    const parsed = parseInput({ source, target, ...input });
    if (!parsed.ok) throw new Error(parsed.message);
    this.input = parsed.input;
    const id = randomBytes(8).toString('hex');
    this.migration = { id, workflowId: source, source, target, slot: slotName(source, id) };
  }

  /** Schema, slot and rows. */
  async copy(): Promise<void> {
    await copySchema(this.migration, this.input, testWork());
    await createSlot(this.migration, testWork());
    for (;;) {
      const owner = testWork();
      const held = holdSnapshot(this.migration, owner);
      held.catch(() => undefined);
      try {
        const { pass, runs } = await planCopy(this.migration, this.input, testWork());
        if (runs.length === 0) return;
        for (const run of runs) await copyChunks(this.migration, { pass, run }, testWork());
      } finally {
        owner.abort();
        await held.catch(() => undefined);
      }
    }
  }

  async indexes(): Promise<void> {
    await buildIndexes(this.migration, this.input, testWork());
    await analyzeTables(this.migration, this.input, testWork());
  }

  /** Applies everything that was committed before the call. @returns the end mark. */
  async drain(): Promise<Lsn> {
    const { batchChanges } = this.input.stream;
    const until = await writeEndMark(this.migration);
    const options = { floor: null, until, leaseMs: 60_000, batchChanges, batchMilliseconds: 50 };
    for (;;) {
      const lease = { ...options, ...this.input.tables };
      if ((await streamChanges(this.migration, lease, testWork())).reached) return until;
    }
  }

  /** Everything from the drain on. */
  async cutover(): Promise<void> {
    const mark = await this.drain();
    await buildConstraints(this.migration, this.input, testWork());
    await compareCounts(this.migration, this.input, testWork());
    await refreshViews(this.migration, this.input, mark, testWork());
    await setSequences(this.migration, this.input, testWork());
    expect(await laterChanges(this.migration, this.input, mark)).toEqual([]);
    await enableTriggers(this.migration);
    await dropSlot(this.migration);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await dropSlot(this.migration).catch(() => undefined);
  }
}
