/**
 * Marks of exported snapshots ahead of the stream (replication/flushed-mark.ts). A restored source whose application has written beyond the old
 * LSNs looks like the one that was copied, but its WAL lacks the mark.
 */
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { LogicalMessage } from '../wal2json/message.ts';
import { nonceOf, type Mark } from '../replication/flushed-mark.ts';

export class SnapshotMarks {
  #ahead: readonly Mark[];

  /** @param start position of the stream: an earlier lease has received everything before it. */
  constructor(marks: readonly Mark[], start: Lsn) {
    this.#ahead = marks.filter(({ lsn }) => compareLsn(lsn, start) > 0);
  }

  /** A logical message of walferry has arrived. */
  met({ content }: Pick<LogicalMessage, 'content'>): void {
    if (this.#ahead.length === 0) return;
    const nonce = nonceOf(content);
    this.#ahead = this.#ahead.filter((mark) => mark.nonce !== nonce);
  }

  /**
   * The stream has received everything before the position.
   * @throws MigrationError `SourceRewound` when a mark before it did not arrive.
   */
  passed(position: Lsn): void {
    const missed = this.#ahead.find(({ lsn }) => compareLsn(lsn, position) <= 0);
    if (!missed) return;
    throw new MigrationError(
      'SourceRewound',
      `the source's WAL lacks the mark that the copy wrote at ${missed.lsn}: after the copy, a backup or disk image was restored, or a lagging standby was promoted`,
      { lsn: missed.lsn },
    );
  }
}
