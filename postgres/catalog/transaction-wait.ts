/** Waits for transactions of the source: sent by the stream and not visible there yet, or still open. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { isVisible, parseSnapshot } from './visibility.ts';

const POLL_MS = 20;

/**
 * Waits until these transactions (32-bit ids) are visible to the session. A transaction is sent shortly before it is visible; with
 * a synchronous standby, long before.
 * @returns how many of them are not visible after this time.
 */
export async function untilVisible(
  client: pg.ClientBase,
  xids: Iterable<number>,
  withinMs: number,
): Promise<number> {
  const deadline = performance.now() + withinMs;
  for (let waiting = [...xids]; waiting.length > 0;) {
    const seen = await readNow(client);
    waiting = waiting.filter((xid) => !isVisible(xid, seen));
    if (waiting.length > 0 && performance.now() > deadline) return waiting.length;
    if (waiting.length > 0) await sleep(POLL_MS);
  }
  return 0;
}

/** Waits until every transaction below the id (64 bits) has ended. @returns whether they have. */
export async function untilEnded(
  client: pg.ClientBase,
  before: bigint,
  withinMs: number,
): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while ((await readNow(client)).xmin < before) {
    if (performance.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

async function readNow(client: pg.ClientBase): Promise<ReturnType<typeof parseSnapshot>> {
  const { rows } = await client.query<{ snapshot: string }>(
    /* sql */ `select pg_catalog.pg_current_snapshot()::text as snapshot`,
  );
  return parseSnapshot(rows[0]?.snapshot ?? '');
}
