/** The loop between the two connections, with both of them simulated: what it waits for. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { formatLsn, type Lsn } from '../../contract/lsn.ts';
import { TableMappings } from '../../postgres/drift/table-mapping.ts';
import type { StreamItem } from '../../postgres/replication/reader.ts';
import { StreamLoop } from '../../postgres/stream/loop.ts';
import type { LoopParts } from '../../postgres/stream/loop-parts.ts';
import { SnapshotMarks } from '../../postgres/stream/snapshot-mark.ts';

const at = (n: number): Lsn => formatLsn(BigInt(n));
/** Far more turns than a run needs; a loop that never lets the event loop go takes them at once. */
const TURNS = 1_000;

/** A keepalive is received, stored by a write that takes a while, and during that write more of them arrive. */
class Lease {
  readonly queue: StreamItem[] = [{ kind: 'keepalive', lsn: at(0x60), sentAt: 0 }];
  anchorWanted = false;
  writes = 0;
  #turns = 0;
  readonly #writer = {
    open: false,
    checkpoint: { confirmedLsn: at(0x50) },
    wouldAdvance: () => this.writes === 0,
    prepare: () => undefined,
    write: async () => {
      this.#writer.open = true;
      this.queue.push({ kind: 'keepalive', lsn: at(0x70), sentAt: 0 });
      this.anchorWanted = true;
      // As long as a database needs: only timers and sockets end it.
      await sleep(20);
      this.#writer.open = false;
      this.#writer.checkpoint = { confirmedLsn: at(0x60) };
      this.writes += 1;
      return { committed: true, exact: [] };
    },
  };

  get parts(): LoopParts {
    return {
      reader: {
        take: () => this.queue.shift() ?? null,
        ready: (ms: number) => this.#ready(ms),
        ...{ nudge: () => undefined, confirm: () => undefined, waiting: false, parts: 0 },
      },
      writer: this.#writer,
      mappings: new TableMappings(),
      marks: new SnapshotMarks([], at(0x50)),
      ...{ newest: null, numericAsText: true, doubt: null, until: null },
      lease: { over: () => false, stored: () => undefined, caughtUp: () => undefined },
      meter: { caughtUpAt: () => false, applied: () => undefined },
      limits: {
        ...{ changes: 100, bytes: 10_000, age: 0, messageBytes: 10_000 },
        ...{ positionMs: 0, positionBytes: 1 },
      },
      anchorWanted: () => this.anchorWanted,
      signal: new AbortController().signal,
      // No item of this test needs the other parts.
    } as unknown as LoopParts;
  }

  async #ready(ms: number): Promise<void> {
    this.#turns += 1;
    if (this.#turns > TURNS) throw new Error('the loop waits for a reader that has items');
    if (this.queue.length === 0) await sleep(ms);
  }
}

test('an anchor that is wanted during a write, with items that have arrived, waits for that write and not for the reader', async () => {
  const lease = new Lease();
  const loop = new StreamLoop(lease.parts);
  await loop.run();
  expect({ writes: lease.writes, stands: loop.stands }).toEqual({ writes: 1, stands: true });
  // What arrived meanwhile is for the next run.
  expect(lease.queue).toHaveLength(1);
});
