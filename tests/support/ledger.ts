/**
 * An application with its own books: it notes every row whose commit returned, and on which side. It writes where it can, and when
 * one side refuses with 25006 it tries the other one, as an application behind a switched address does. What its books say is
 * compared with both databases at the end; nothing of walferry's is asked.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { connectTo, type FreshPair } from './database.ts';
import { until } from './until.ts';

export const LEDGER_TABLE = /* sql */ `
  create table ledger (writer int, n int, side text not null, primary key (writer, n))`;

export type Side = 'source' | 'target';

const REFUSED = '25006';
/** What a kill, a restart or another writer may do to any application. */
const PASSING = /^(25006|40P01|40001|57P0[1-5]|08...|53300)$/;

export class Ledger {
  /** `writer:n` → the side whose commit returned. */
  readonly committed = new Map<string, Side>();
  /** Rows whose commit did not return: they may be there or not. */
  readonly unknown = new Set<string>();
  refused = 0;
  /** Each commit that returned, in the order of its return: when it was sent, and when it returned. */
  readonly #order: { readonly side: Side; readonly sent: number; readonly back: number }[] = [];
  /** The side that the last commit was sent to, whether it returned or not. */
  last: Side | null = null;
  /** Errors that no kill explains, by SQLSTATE and message: a number that a sequence gave out twice, for one. */
  readonly unexpected = new Map<string, number>();
  #stopping = false;
  #only: Side | null = null;
  readonly #pair: FreshPair;
  readonly #also: (client: pg.Client) => Promise<unknown>;
  readonly #turns: number[];
  readonly #writers: Promise<void>[];

  /** @param also what each transaction does besides. */
  constructor(
    pair: FreshPair,
    writers = 3,
    also: (client: pg.Client) => Promise<unknown> = () => Promise.resolve(),
  ) {
    this.#pair = pair;
    this.#also = also;
    this.#turns = Array.from({ length: writers }, () => 0);
    this.#writers = this.#turns.map((_, writer) => this.#write(writer));
  }

  on(side: Side): number {
    return [...this.committed.values()].filter((one) => one === side).length;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#writers);
  }

  /**
   * Writes on this side only, until called with null: who aborts a migration keeps the old database, and its target is then an
   * ordinary one. Returns when no writer is on the other side.
   */
  async keepTo(side: Side | null): Promise<void> {
    this.#only = side;
    if (side === null || this.#stopping) return;
    const before = [...this.#turns];
    await until('every writer to begin a new transaction', () =>
      before.every((turn, writer) => (this.#turns[writer] ?? 0) > turn + 1),
    );
  }

  async #write(writer: number): Promise<void> {
    let side: Side = 'source';
    let client: (pg.Client & AsyncDisposable) | undefined;
    for (let n = 0; !this.#stopping;) {
      this.#turns[writer] = (this.#turns[writer] ?? 0) + 1;
      const row = `${writer}:${n}`;
      try {
        if (this.#only !== null && this.#only !== side) {
          side = this.#only;
          await client?.end();
          client = undefined;
        }
        if (!client) {
          client = await connectTo(this.#pair[side]);
          client.on('error', () => undefined);
        }
        await client.query('begin');
        await client.query(/* sql */ `insert into public.ledger values ($1, $2, $3)`, [
          ...[writer, n],
          side,
        ]);
        await this.#also(client);
        await sleep(writer * 3);
        this.unknown.add(row);
        this.last = side;
        const sent = performance.now();
        await client.query('commit');
        this.#order.push({ side, sent, back: performance.now() });
        this.unknown.delete(row);
        this.committed.set(row, side);
        n += 1;
        await sleep(2);
      } catch (error) {
        const isRefused = error instanceof pg.DatabaseError && error.code === REFUSED;
        if (isRefused) this.refused += 1;
        this.#note(error);
        await client?.end().catch(() => undefined);
        client = undefined;
        if (isRefused && this.#only === null) side = side === 'source' ? 'target' : 'source';
        // A row whose commit was sent is never written a second time, on no side.
        if (this.unknown.has(row)) n += 1;
        await sleep(30);
      }
    }
    await client?.end().catch(() => undefined);
  }

  #note(error: unknown): void {
    if (!(error instanceof pg.DatabaseError) || PASSING.test(error.code ?? '')) return;
    const text = `${error.code} ${error.message}`;
    this.unexpected.set(text, (this.unexpected.get(text) ?? 0) + 1);
  }

  /**
   * The sides that took writes, one after the other: `source, target` after a cutover, and `source` again after a return. A side is
   * new when a commit was sent to it after one of the other side had returned, so each turn is certain. More of them than cutovers
   * mean that both sides took writes at one time.
   */
  turns(): Side[] {
    const turns: Side[] = [];
    /** When the first commit of the present turn returned. */
    let since = -Infinity;
    for (const { side, sent, back } of this.#order) {
      if (side === turns.at(-1) || sent < since) continue;
      turns.push(side);
      since = back;
    }
    return turns;
  }

  /**
   * Compares the books with both databases. To be called after {@link stop}.
   * @param live the side that the outcome says.
   * @param returned rows of the target belong on the source, too: the way back has brought them.
   * @returns what is wrong, bounded; empty: every committed row is on the live side, no row is there that was never written, and
   *   no row was taken by the other side alone.
   */
  async check(live: Side, { returned = false } = {}): Promise<string[]> {
    const [source, target] = await Promise.all([this.#rows('source'), this.#rows('target')]);
    const [here, there] = live === 'source' ? [source, target] : [target, source];
    const wrong = [
      ...[...this.committed.keys()].filter((row) => !here.has(row)).map((row) => `${row} is lost`),
      ...[...here.keys()]
        .filter((row) => !this.committed.has(row) && !this.unknown.has(row))
        .map((row) => `${row} was never written`),
      ...[...there.keys()]
        .filter((row) => !here.has(row))
        .map((row) => `${row} is on the other side only`),
      ...[...source]
        .filter(([, side]) => side === 'target' && !returned)
        .map(([row]) => `${row} came back`),
      ...[...here]
        .filter(([row, side]) => (this.committed.get(row) ?? side) !== side)
        .map(([row]) => `${row} is not the row that was written`),
    ];
    return wrong.slice(0, 20);
  }

  async #rows(side: Side): Promise<Map<string, string>> {
    await using client = await connectTo(this.#pair[side]);
    const { rows } = await client.query<{ row: string; side: string }>(
      /* sql */ `select writer || ':' || n as row, side from public.ledger`,
    );
    return new Map(rows.map((one) => [one.row, one.side]));
  }
}
