/**
 * The confirm rule, pure. Only this file decides which LSN may be confirmed to the source: an LSN that is confirmed too
 * early loses transactions for good.
 *
 * 1. The horizon: every transaction whose commit record starts before it has been received completely. A commit moves it
 *    to the end of its record (`C.nextlsn`, not further: the next record may start right there). A keepalive also moves
 *    it, but never inside a transaction, whose rest has yet to arrive.
 * 2. A position is stored on the target in the transaction that applies everything received up to it.
 * 3. Only a stored position is confirmed.
 */
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import { MigrationError } from '../../contract/failure.ts';

export class Horizon {
  #received: Lsn;
  #stored: Lsn;
  #inside = false;

  /** @param stored the LSN on the target; the stream was started there. */
  constructor(stored: Lsn) {
    this.#received = stored;
    this.#stored = stored;
  }

  /** The begin message of a source transaction has arrived. */
  begin(): void {
    this.#inside = true;
  }

  /** The transaction has arrived completely; `nextLsn` is the end of its commit record. */
  end(nextLsn: Lsn): void {
    this.#inside = false;
    this.#move(nextLsn);
  }

  /**
   * The source sends nothing more that commits before `walEnd`. Right after a start, `walEnd` may be far behind: it is ignored.
   */
  keepalive(walEnd: Lsn): void {
    if (!this.#inside) this.#move(walEnd);
  }

  /**
   * Everything that commits before it has been received completely. The target transaction that applies all of it may store it.
   * While a transaction is arriving, this is still the position before that transaction.
   */
  get position(): Lsn {
    return this.#received;
  }

  /** The target committed this position together with everything received before it. */
  stored(position: Lsn): void {
    if (compareLsn(position, this.#received) > 0 || compareLsn(position, this.#stored) < 0) {
      throw new MigrationError(
        'Internal',
        `stored LSN ${position} lies outside ${this.#stored} to ${this.#received}`,
        { lsn: position },
      );
    }
    this.#stored = position;
  }

  /** The LSN that may be confirmed to the source. */
  get confirmable(): Lsn {
    return this.#stored;
  }

  #move(position: Lsn): void {
    if (compareLsn(position, this.#received) > 0) this.#received = position;
  }
}
