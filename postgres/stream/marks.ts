/**
 * Marks of generations ahead of the stream (wal/flush.ts). A restored source whose application has written past the old positions
 * looks like the one that was copied, but its WAL lacks the mark.
 */
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { LogicalMessage } from '../wal2json/message.ts';
import { nonceOf, type Mark } from '../wal/flush.ts';

export class Marks {
  #ahead: readonly Mark[];

  /** @param start position of the stream: what lies before it was met by an earlier lease. */
  constructor(marks: readonly Mark[], start: Lsn) {
    this.#ahead = marks.filter(({ lsn }) => compareLsn(lsn, start) > 0);
  }

  /** A logical message of ours has arrived. */
  met({ content }: Pick<LogicalMessage, 'content'>): void {
    if (this.#ahead.length === 0) return;
    const nonce = nonceOf(content);
    this.#ahead = this.#ahead.filter((mark) => mark.nonce !== nonce);
  }

  /**
   * The stream has received everything before the position.
   * @throws MigrationError `SourceRewound` when a mark that lies there did not come.
   */
  passed(position: Lsn): void {
    const missed = this.#ahead.find(({ lsn }) => compareLsn(lsn, position) <= 0);
    if (!missed) return;
    throw new MigrationError(
      'SourceRewound',
      `the source's WAL lacks the mark that the copy wrote at ${missed.lsn}: after rows were copied, a backup or disk image was restored, or a lagging standby was promoted`,
      { lsn: missed.lsn },
    );
  }
}
