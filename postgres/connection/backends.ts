/**
 * Ends the sessions of others: of attempts whose worker is frozen or cut off, and that would keep locks, claims or the slot. The
 * only place that terminates a backend. What is to be ended is found in different ways, each where it is known (`usersOf` in
 * slot, `copiersOf` in snapshot, the attempt that has the epoch in store, earlier attempts of a step in session).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

export interface Backends {
  /** A query with one column: the process ids. This session's own never counts. */
  readonly pids: string;
  readonly values: readonly unknown[];
}

/** A terminated backend is gone within milliseconds, unless it rolls back or flushes first. */
const POLL_MS = 20;

/** Terminates the selected backends. @returns their pids: they may still exist when this returns. */
export async function endBackends(
  client: pg.ClientBase,
  { pids, values }: Backends,
): Promise<number[]> {
  const { rows } = await client.query<{ pid: number }>(
    /* sql */ `
    select ended.pid, pg_catalog.pg_terminate_backend(ended.pid)
      from (${pids}) as ended (pid) where ended.pid <> pg_catalog.pg_backend_pid()`,
    [...values],
  );
  return rows.map(({ pid }) => pid);
}

/**
 * Terminates the selected backends and waits until none is left: a statement of theirs may still be running until then.
 * @returns the pids of those that are left after `withinMs`; empty if all are gone. @throws `signal.reason` when aborted.
 */
export async function untilEnded(
  client: pg.ClientBase,
  backends: Backends,
  { withinMs, signal }: { readonly withinMs: number; readonly signal?: AbortSignal | undefined },
): Promise<number[]> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const left = await endBackends(client, backends);
    if (left.length === 0 || performance.now() > deadline) return left;
    signal?.throwIfAborted();
    await sleep(POLL_MS);
  }
}
