/**
 * The state of the control schema on the target, read independently of walferry: which chunks are done and by which
 * worker, and the position of the stream. Read before and after a kill, it shows which work was not repeated.
 */
import pg from 'pg';
import { compareLsn, isLsn } from '../../../contract/lsn.ts';
import { clientConfig, pinNewer } from '../../../postgres/connection/connect.ts';
import { readChunkMarks, type ChunkMark } from '../../../postgres/store/chunk-mark.ts';
import type { Proof } from './comparison.ts';
import { type StreamMark, readStreamMark } from '../../../postgres/store/registered.ts';

export class Evidence implements AsyncDisposable {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async open(target: string): Promise<Evidence> {
    const client = new pg.Client({
      ...clientConfig(target, 'cleanup'),
      application_name: 'walferry-demo',
    });
    client.on('error', () => undefined);
    await client.connect();
    await pinNewer(client);
    return new Evidence(client);
  }

  /** All chunks of the plan; empty before there is one. */
  async chunks(): Promise<ChunkMark[]> {
    return readChunkMarks(this.#client);
  }

  async stream(): Promise<StreamMark | undefined> {
    return readStreamMark(this.#client);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }
}

/** Marks that existed before and are unchanged: those chunks were not repeated. */
export function unchanged(before: readonly ChunkMark[], after: readonly ChunkMark[]): ChunkMark[] {
  const now = new Map(after.map((mark) => [mark.id, mark]));
  return before.filter(({ id, doneAt, worker, pass }) => {
    const same = now.get(id);
    return (
      doneAt !== null && same?.doneAt === doneAt && same.worker === worker && same.pass === pass
    );
  });
}

/** What the marks say of a kill in the copy. @param before those right after it. @param after those of the whole copy. */
export function provenByMarks(before: readonly ChunkMark[], after: readonly ChunkMark[]): Proof {
  const done = before.filter(({ doneAt }) => doneAt !== null);
  if (done.length === before.length) return 'too late';
  return unchanged(done, after).length === done.length ? 'proven' : 'refuted';
}

/** What the checkpoints say of a kill in the stream: a later attempt applied more, and nothing went backwards. */
export function killInStreamShown(before: StreamMark, after: StreamMark): Proof {
  const from = before.confirmedLsn;
  const to = after.confirmedLsn;
  const further = isLsn(from) && isLsn(to) && compareLsn(from, to) <= 0;
  const more = after.transactions > before.transactions;
  return further && more && BigInt(after.epoch) > BigInt(before.epoch) ? 'proven' : 'refuted';
}
