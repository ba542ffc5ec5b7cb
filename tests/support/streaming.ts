/** A migration that streams under load, and a way to see that changes arrive. */
import { connectTo } from './database.ts';
import { Lab } from './lab.ts';
import { LOAD_TABLES } from './load.ts';
import type { Load } from './load.ts';
import { until } from './until.ts';

/** The control row of the migration on the target. */
export interface Control {
  epoch: string;
  confirmed: string;
  transactions: string;
}

export async function control(lab: Lab): Promise<Control> {
  lab.expectAccepted();
  await using target = await connectTo(lab.pair.target);
  const { rows } = await target.query<Control>(
    /* sql */ `select epoch::text, confirmed_lsn::text as confirmed, transactions::text from walferry.migration`,
  );
  const [row] = rows;
  if (!row) throw new Error('no control row');
  return row;
}

/** Waits until transactions that were committed after this call began are on the target. */
export async function flowing(lab: Lab, load: Load, seconds = 40): Promise<void> {
  const committed = load.committed;
  const before = BigInt((await until('the control row', () => control(lab))).transactions);
  await until(
    'changes to arrive',
    async () =>
      load.committed > committed + 50 && BigInt((await control(lab)).transactions) > before + 50n,
    { seconds },
  );
}

/** Starts a worker, a load and a migration; the caller ends the lab. @param env of the worker, e.g. a fail point. */
export async function streaming(env?: Record<string, string>): Promise<{ lab: Lab; load: Load }> {
  const lab = await Lab.open(LOAD_TABLES);
  await lab.worker({ name: 'first', ...(env ? { env } : {}) });
  const load = lab.load();
  await lab.start({ stream: { batchMilliseconds: 50 } });
  return { lab, load };
}
