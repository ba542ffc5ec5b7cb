/** What each line and keepalive of the stream means: which transaction is open, what is collected, and up to where. */
import type { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import { Horizon } from '../replication/confirm.ts';
import type { StreamItem } from '../replication/reader.ts';
import { LineFailure, textOfLine } from '../replication/line.ts';
import type { Line } from '../replication/line-store.ts';
import type { LastCommit } from '../store/confirmed-position.ts';
import { decodeMessage } from '../wal2json/decode.ts';
import { HeadReader } from '../wal2json/head.ts';
import type { Commit } from '../wal2json/message.ts';
import { Gathering } from './gathering.ts';
import type { GatheringParts } from './gathering-parts.ts';
import type { LoopParts } from './loop-parts.ts';
import { settleMissing, type ChangedTable } from './missing-change.ts';

export class Intake {
  readonly horizon: Horizon;
  readonly gathering: Gathering;
  #parts: LoopParts;
  readonly #start: Lsn;
  readonly #left: NonNullable<GatheringParts['left']>;
  readonly #head = new HeadReader();
  /** The last commit before the horizon's position. */
  #commit: LastCommit | null = null;

  /** @param left called for a table whose change leaves the fast path, with the reason. */
  constructor(parts: LoopParts, left: NonNullable<GatheringParts['left']>) {
    this.#parts = parts;
    this.#left = left;
    const start = parts.writer.checkpoint.confirmedLsn;
    this.#start = start;
    this.horizon = new Horizon(start);
    this.gathering = new Gathering(this.#gatheringParts(parts));
  }

  /** Continues in the next lease; see the loop. */
  continueWith(parts: LoopParts): void {
    // A mark may already have arrived ahead of the position; it does not arrive twice.
    const { marks } = this.#parts;
    this.#parts = { ...parts, marks };
    this.gathering.continueWith(this.#gatheringParts(parts));
  }

  #gatheringParts(parts: LoopParts): GatheringParts {
    return { ...parts, start: this.#start, position: () => this.position, left: this.#left };
  }

  /** What to store with everything received completely: the position, and the last commit before it. */
  get position(): { readonly end: Lsn; readonly commit: LastCommit | null } {
    return { end: this.horizon.position, commit: this.#commit };
  }

  /** Handles what the reader delivers. @returns a promise when a query is needed before the next item. */
  item(item: StreamItem): Promise<void> | null {
    switch (item.kind) {
      case 'message':
        return this.line(item);
      case 'keepalive':
        this.keepalive(item.lsn);
        return null;
      case 'warning':
        return this.missing(item);
    }
  }

  keepalive(lsn: Lsn): void {
    this.horizon.keepalive(lsn);
    this.#parts.marks.passed(this.horizon.position);
    const { meter, lease } = this.#parts;
    if (meter.caughtUpAt(this.horizon.position)) lease.caughtUp();
  }

  /** @returns a promise when a query is needed before the next line. */
  line(line: Line): Promise<void> | null {
    const head = this.#head;
    const kind = head.read(line.bytes, line.from, line.to);
    switch (kind) {
      case 'insert':
      case 'update':
      case 'delete':
        return this.gathering.row(kind, line, head) ? null : this.#exact(line);
      case 'begin':
        this.#begin(head.xid, head.lsn);
        return null;
      case 'commit': {
        const { xid, lsn, nextLsn, timestamp } = head;
        return this.#ended({ action: 'C', xid, lsn, nextlsn: nextLsn, timestamp });
      }
      case 'other':
        return this.#exact(line);
    }
  }

  /** Handles a line that must be decoded. */
  #exact(line: Line): Promise<void> | null {
    const at = line.lsn;
    const text = textOfLine(line.own, this.#parts.limits.messageBytes);
    if (text instanceof LineFailure) return this.#unreadable(text, at);
    const message = decodeMessage(text, at);
    switch (message.action) {
      case 'B':
        this.#begin(message.xid, message.lsn);
        return null;
      case 'C':
        return this.#ended(message);
      case 'M':
        // It does not move the position; the commit of its transaction does.
        this.#parts.marks.met(message);
        return null;
      case 'I':
      case 'U':
      case 'D':
      case 'T':
        this.gathering.exact(message, line.length);
        return null;
    }
  }

  #begin(xid: number, lsn: Lsn): void {
    this.horizon.begin();
    this.gathering.begin(xid, lsn);
  }

  #ended(commit: Commit): Promise<void> | null {
    // Before any of it is collected: a commit after a missing mark is from another history.
    this.#parts.marks.passed(commit.nextlsn);
    const deciding = this.gathering.commit(commit, performance.now());
    // Only after the decision: when a change is refused, the position must stay before its transaction.
    if (deciding !== null) return deciding.then(() => this.#passed(commit));
    this.#passed(commit);
    return null;
  }

  #passed({ lsn, nextlsn, xid, timestamp }: Commit): void {
    this.horizon.end(nextlsn);
    this.#parts.doubt?.committed(xid, lsn);
    // The target already had commits that start before the stream's start.
    if (compareLsn(lsn, this.#start) < 0) return;
    this.#commit = { nextLsn: nextlsn, xid, committedAt: timestamp };
  }

  /** Handles an undecodable line. If it is a change of a wanted table, nothing after it is applied. */
  #unreadable(failure: LineFailure, at: Lsn): Promise<void> | null {
    const { subject } = failure;
    if (subject === 'message') return null;
    if (subject === null) throw failure.at(at);
    return this.missing({ schema: subject.schema, table: subject.name }, failure.at(at));
  }

  /** A change that was not sent or cannot be decoded. @param failure why it cannot be decoded. */
  async missing(table: ChangedTable, failure?: MigrationError): Promise<void> {
    const { open } = this.gathering;
    await settleMissing(this.#parts, table, open, this.horizon.position, failure);
  }
}
