/**
 * The lease's part of an anchor (docs/explanation/anchor.md). The owner's request arrives by NOTIFY, so a stream without one
 * queries nothing. Then the stream stops between two transactions, stores everything received, and says where it stands; the
 * owner takes its snapshot of the source; the stream applies what that one shows, with the barrier; the owner takes its snapshot
 * of the target. Each wait has a limit after which the stream goes on: an owner may be frozen, and the application waits for no
 * one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Log } from '../../contract/work.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { anchorChannel, giveUp, readAsked, standAt, type Asked } from '../store/anchor-request.ts';
import { barrierOf, type Barrier } from '../store/barrier.ts';
import { messagePrefix } from '../wal2json/plugin-options.ts';
import type { AnchorPace } from './anchor-pace.ts';
import type { Passed } from './anchor-pass.ts';

/** For the owner's snapshot of the source, with the connection that it opens for it. */
const TAKE_MS = 5_000;
/** For the stream to get from where it stands to the anchor's position, with what it applies on the way. */
const PASS_MS = 10_000;
/** For the owner's snapshot of the target, whose session is open already. */
const HOLD_MS = 3_000;
const POLL_MS = 10;

export interface StandingParts {
  readonly migration: Migration;
  readonly epoch: bigint;
  /** The applying session, used only while no batch is written. */
  readonly target: pg.Client;
  /** Runs a task on the source's session. */
  readonly onSource: <T>(task: (source: pg.ClientBase) => Promise<T>) => Promise<T>;
  /** Whether the anchor leaves out a commit before its position. */
  readonly leaves: () => boolean;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly pace: AnchorPace;
  /** Called when a request arrives. */
  readonly wake: () => void;
}

export interface Stander {
  /** Whether everything received is applied. */
  readonly stands: boolean;
  pass(anchor: Barrier, withinMs: number): Promise<Passed>;
}

export class Standing implements Disposable {
  readonly #parts: StandingParts;
  readonly #notified = (): void => {
    this.#wanted = true;
    this.#parts.wake();
  };
  #wanted = true;
  #looks = 0;

  private constructor(parts: StandingParts) {
    this.#parts = parts;
  }

  /** Listens for requests. One may be there already: the first look is due at once. */
  static async listen(parts: StandingParts): Promise<Standing> {
    const standing = new Standing(parts);
    const { target, migration } = parts;
    target.on('notification', standing.#notified);
    await target.query(/* sql */ `listen ${pg.escapeIdentifier(anchorChannel(migration))}`);
    const asked = await readAsked(target, migration);
    standing.#wanted = asked?.state === 'wanted';
    if (!standing.#wanted) await standing.#forgetEarlier(asked);
    return standing;
  }

  [Symbol.dispose](): void {
    this.#parts.target.off('notification', this.#notified);
  }

  /** Whether the stream should stop between two transactions. @param applied the target's checkpoint. */
  wantedAt(applied: Lsn): boolean {
    return this.#wanted && this.#parts.pace.allows(applied, performance.now());
  }

  /** Grows while it waits, so that a wait is not taken for a stall. */
  get looks(): number {
    return this.#looks;
  }

  /**
   * Stands at the target's checkpoint until the anchor is held or given up.
   * @returns whether more was received than applied: the stream must start again from its checkpoint.
   * @throws what a database or the stream failed with.
   */
  async stand(loop: Stander, at: Lsn): Promise<boolean> {
    const began = performance.now();
    this.#wanted = false;
    try {
      return await this.#stand(loop, at);
    } finally {
      const now = performance.now();
      this.#parts.pace.stood(now - began, now);
    }
  }

  async #stand(loop: Stander, at: Lsn): Promise<boolean> {
    const { target, migration, epoch } = this.#parts;
    const asked = await readAsked(target, migration);
    // It was withdrawn, or something arrived that has no end yet: its owner asks again.
    if (asked?.state !== 'wanted' || !loop.stands) return false;
    if (!asked.alive) return this.#refuse(asked.id, ['wanted'], 'its owner is gone');
    if (!(await standAt(target, migration, { id: asked.id, epoch, at }))) return false;
    const taken = await this.#taken(asked.id);
    if (taken === null) return false;
    this.#parts.pace.tried(taken.lsn);
    await this.#parts.onSource((source) => markPast(source, migration));
    const passed = await loop.pass(taken, PASS_MS);
    if (passed === 'reached') {
      const { leaves, log } = this.#parts;
      log.info('the stream stands at an anchor', { lsn: taken.lsn, leaves: leaves() });
      await this.#while(asked.id, 'reached', HOLD_MS);
    } else if (passed !== 'aborted') await this.#refuse(asked.id, ['taken'], REASONS[passed]);
    return true;
  }

  /** The owner's snapshot; null when there is none in time. */
  async #taken(id: string): Promise<Barrier | null> {
    const late = 'its owner took no snapshot of the source in time';
    let asked = await this.#while(id, 'standing', TAKE_MS);
    if (this.#parts.signal.aborted) return null;
    if (asked?.state === 'standing') {
      await this.#refuse(id, ['standing'], late);
      // It may have been taken at the last moment.
      asked = await this.#read(id);
    }
    if (asked?.state !== 'taken' || asked.visible === null || asked.lsn === null) return null;
    return barrierOf(id, asked.visible, asked.lsn);
  }

  /** Waits while the request is in this state and its owner lives; then returns it, null when it is gone. */
  async #while(id: string, state: Asked['state'], withinMs: number): Promise<Asked | null> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const asked = await this.#read(id);
      const { signal } = this.#parts;
      if (asked?.state !== state || !asked.alive || signal.aborted) return asked;
      if (performance.now() > deadline) return asked;
      this.#looks += 1;
      await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #read(id: string): Promise<Asked | null> {
    const asked = await readAsked(this.#parts.target, this.#parts.migration);
    return asked?.id === id ? asked : null;
  }

  /** A request that an earlier attempt answered: its snapshot may miss what that attempt applied afterwards. */
  async #forgetEarlier(asked: Asked | null): Promise<void> {
    if (asked?.state === 'standing' || asked?.state === 'taken')
      await this.#refuse(asked.id, ['standing', 'taken'], 'the stream started again');
  }

  async #refuse(id: string, from: Parameters<typeof giveUp>[3], reason: string): Promise<false> {
    await giveUp(this.#parts.target, this.#parts.migration, id, from, reason);
    return false;
  }
}

const REASONS = {
  'too much':
    'more than one batch of changes lies between a commit that the snapshot does not show and its position',
  'too late': `the stream did not reach the position of the snapshot within ${PASS_MS / 1000} s`,
} as const;

/** Why a drain does not stand: the application waits for its end. */
export async function refuseAnchor(target: pg.ClientBase, migration: Migration): Promise<void> {
  const asked = await readAsked(target, migration);
  if (asked === null) return;
  await giveUp(
    target,
    migration,
    asked.id,
    ['wanted', 'standing', 'taken'],
    'the stream drains for a cutover',
  );
}

/**
 * Writes and flushes a commit behind the anchor's position, which an idle source would not reach. Waits for no standby: `on` would
 * make the stream wait for one that is away.
 */
async function markPast(source: pg.ClientBase, migration: Migration): Promise<void> {
  await inTransaction(
    source,
    () =>
      source.query(/* sql */ `select pg_catalog.pg_logical_emit_message(true, $1, $2)`, [
        messagePrefix(migration),
        JSON.stringify({ kind: 'anchor', migration: migration.id }),
      ]),
    /* sql */ `begin; set local synchronous_commit = local`,
  );
}
