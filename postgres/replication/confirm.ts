/**
 * The confirm rule, pure. What may be told to the source is decided here and nowhere else, because a position that is
 * confirmed too early loses transactions for good:
 *
 * 1. The horizon is a position such that every transaction whose commit record starts before it was received whole. It
 *    moves with a commit to the end of its record (`C.nextlsn`: exactly that, the next record may start right there), and
 *    with a keepalive, but never inside a transaction: the rest of that one is still to come.
 * 2. A position is stored on the target in the same transaction that applied everything received up to it.
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

  /** A source transaction begins to arrive. */
  begin(): void {
    this.#inside = true;
  }

  /** It has arrived whole; `nextLsn` is the end of its commit record. */
  end(nextLsn: Lsn): void {
    this.#inside = false;
    this.#move(nextLsn);
  }

  /** The source has nothing more that commits before `walEnd`. After a start it may be far behind: it never moves back. */
  keepalive(walEnd: Lsn): void {
    if (!this.#inside) this.#move(walEnd);
  }

  /**
   * Everything that commits before it was received whole. May be stored on the target in the transaction that applies
   * all of it; while a transaction is arriving this is still the position before that one.
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

  /** What the source may be told. */
  get confirmable(): Lsn {
    return this.#stored;
  }

  #move(position: Lsn): void {
    if (compareLsn(position, this.#received) > 0) this.#received = position;
  }
}
