/**
 * A number of places, and the queue for them. Pure. A free place goes to the next in the queue, with three exceptions:
 *
 *   kept       for a while after a stream or a snapshot owner has ended: only a migration that has begun may take it, because
 *              the next lease comes a moment later, and a newcomer would stream in its place for hours
 *   reserved   while a snapshot is open: at least one copy of its migration always has a place, or the snapshot is useless
 *   lent       by a copy that is held back on purpose: it does nothing, and two migrations must not wait for each other
 */

/** An occupied place. */
export interface Place {
  /** Frees it; a second call does nothing. @param keepMs how long it is kept for migrations that have begun. */
  leave(keepMs?: number): void;
  /** Frees it for others, also when it is the reserved one; the owner counts as held back until it leaves. */
  lend(): void;
}

interface Reservation {
  readonly owner: string;
  state: 'idle' | 'used' | 'lent';
}

interface Kept {
  readonly owner: string;
  readonly expiry: NodeJS.Timeout;
}

interface Waiter {
  readonly owner: string;
  readonly since: string;
  readonly begun: boolean;
  readonly enter: (place: Occupied) => void;
}

/** A request for a place. */
export interface Wanted {
  readonly owner: string;
  /** When its wait began, ISO 8601: the longest wait is next, also across attempts. */
  readonly since: string;
  /** Its migration streams: the source retains WAL for it, so it precedes those that have not begun. */
  readonly begun?: boolean;
}

export class Places {
  readonly limit: number;
  /** What occupies a place, in the plural. */
  readonly what: string;
  /** The worker's option that sets the limit. */
  readonly option: string;
  readonly #owners = new Map<string, number>();
  /** Places that are lent, by owner. */
  readonly #lent = new Map<string, number>();
  readonly #reservations = new Set<Reservation>();
  #kept: Kept[] = [];
  /** Occupied, kept or reserved. */
  #taken = 0;
  #queue: Waiter[] = [];

  constructor(limit: number, what: string, option: string) {
    this.limit = limit;
    this.what = what;
    this.option = option;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Whether the owner occupies a place. */
  has(owner: string): boolean {
    return this.#owners.has(owner);
  }

  /** @returns null when none is free. */
  tryTake({ owner, begun = false }: Omit<Wanted, 'since'>): Place | null {
    return this.#find(owner, begun);
  }

  /** Takes one even above the limit: for work that must not wait while it has locks. */
  take(owner: string): Place {
    const found = this.#find(owner, false);
    if (found) return found;
    this.#taken += 1;
    return this.#occupied(owner);
  }

  /** Waits for a place. @param signal ends the wait. @returns null when it was aborted first. */
  wait({ owner, since, begun = false }: Wanted, signal: AbortSignal): Promise<Place | null> {
    if (signal.aborted) return Promise.resolve(null);
    return new Promise((resolve) => {
      const giveUp = (): void => {
        this.#queue = this.#queue.filter((other) => other !== waiter);
        resolve(null);
      };
      const enter = (place: Occupied): void => {
        signal.removeEventListener('abort', giveUp);
        resolve(place);
      };
      const waiter: Waiter = { owner, since, begun, enter };
      signal.addEventListener('abort', giveUp, { once: true });
      const isBehind = (other: Waiter): boolean =>
        other.begun === begun ? other.since > since : begun;
      const behind = this.#queue.findIndex(isBehind);
      this.#queue.splice(behind < 0 ? this.#queue.length : behind, 0, waiter);
    });
  }

  /**
   * Turns an occupied place into one that is reserved for copies of the same owner.
   * @returns what ends the reservation, to be called once. A copy that has the place then keeps it to its end.
   */
  reserve(owner: string, place: Place): () => void {
    const reservation: Reservation = { owner, state: 'used' };
    this.#reservations.add(reservation);
    if (place instanceof Occupied) place.reservation = reservation;
    place.leave();
    return () => {
      this.#reservations.delete(reservation);
      if (reservation.state === 'idle') this.#pass();
    };
  }

  #find(owner: string, begun: boolean): Occupied | null {
    const reserved = this.#reservation(owner, 'idle');
    if (reserved) return this.#occupied(owner, reserved);
    const kept =
      this.#kept.find((one) => one.owner === owner) ?? (begun ? this.#kept[0] : undefined);
    if (kept) {
      clearTimeout(kept.expiry);
      this.#kept = this.#kept.filter((other) => other !== kept);
    } else if (this.#taken < this.limit) this.#taken += 1;
    else return null;
    return this.#occupied(owner);
  }

  #reservation(owner: string, state: Reservation['state']): Reservation | null {
    return (
      [...this.#reservations].find((one) => one.owner === owner && one.state === state) ?? null
    );
  }

  /** The place is counted already. If a copy of the owner has lent its reserved place, this one becomes the reserved one. */
  #occupied(owner: string, reservation = this.#reservation(owner, 'lent')): Occupied {
    if (reservation) reservation.state = 'used';
    count(this.#owners, owner, 1);
    return new Occupied(
      reservation,
      (how) => this.#left(owner, how),
      () => count(this.#lent, owner, -1),
    );
  }

  #left(owner: string, { reservation, keepMs, lent }: Left): void {
    count(this.#owners, owner, -1);
    if (lent) count(this.#lent, owner, 1);
    const stillReserved = reservation !== null && this.#reservations.has(reservation);
    const own = stillReserved && !lent && this.#queue.find((waiter) => waiter.owner === owner);
    if (own) {
      reservation.state = 'idle';
      this.#enter(own, reservation);
      return;
    }
    // Its other copies are held back: the reserved place would stay idle as long as they are.
    if (stillReserved && !this.#lent.has(owner)) {
      reservation.state = 'idle';
      return;
    }
    if (stillReserved) reservation.state = 'lent';
    if (keepMs > 0) this.#keep(owner, keepMs);
    else this.#pass();
  }

  #keep(owner: string, keepMs: number): void {
    // When more migrations have begun than there are places, each streams for one lease in turn.
    const heir =
      this.#queue.find((one) => one.begun) ?? this.#queue.find((one) => one.owner === owner);
    if (heir || this.#taken > this.limit) {
      this.#pass(heir);
      return;
    }
    const expiry = setTimeout(() => {
      this.#kept = this.#kept.filter((other) => other !== kept);
      this.#pass();
    }, keepMs);
    expiry.unref();
    const kept: Kept = { owner, expiry };
    this.#kept.push(kept);
  }

  /** Handed over without being free in between: a newcomer would overtake the queue. */
  #pass(next = this.#queue[0]): void {
    if (next && this.#taken <= this.limit) this.#enter(next);
    else this.#taken -= 1;
  }

  #enter(waiter: Waiter, reservation?: Reservation): void {
    this.#queue = this.#queue.filter((other) => other !== waiter);
    waiter.enter(this.#occupied(waiter.owner, reservation));
  }
}

interface Left {
  readonly reservation: Reservation | null;
  readonly keepMs: number;
  readonly lent: boolean;
}

class Occupied implements Place {
  /** Set when it is the reserved place of its owner. */
  reservation: Reservation | null;
  readonly #leaving: (how: Left) => void;
  readonly #back: () => void;
  #state: 'occupied' | 'lent' | 'left' = 'occupied';

  constructor(reservation: Reservation | null, leaving: (how: Left) => void, back: () => void) {
    this.reservation = reservation;
    this.#leaving = leaving;
    this.#back = back;
  }

  leave(keepMs = 0): void {
    const { reservation } = this;
    const before = this.#state;
    this.#state = 'left';
    if (before === 'occupied') this.#leaving({ reservation, keepMs, lent: false });
    if (before === 'lent') this.#back();
  }

  lend(): void {
    if (this.#state !== 'occupied') return;
    this.#state = 'lent';
    this.#leaving({ reservation: this.reservation, keepMs: 0, lent: true });
  }
}

function count(counts: Map<string, number>, owner: string, by: 1 | -1): void {
  const now = (counts.get(owner) ?? 0) + by;
  if (now > 0) counts.set(owner, now);
  else counts.delete(owner);
}
