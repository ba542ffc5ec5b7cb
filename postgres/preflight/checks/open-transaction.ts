/**
 * Transactions that block the slot: its creation, and the exported snapshot, wait for every older open transaction that has an
 * id, in any database of the server.
 */
import { readBlockers, type Blocker } from '../../slot/blockers.ts';
import { list, span } from '../wording.ts';
import { defineCheck, raising, warns } from '../check.ts';
import { plugin } from '../facts/plugin.ts';

const { codes, warning } = raising({
  'open-transactions': warns('Creating the slot has to wait for open transactions.'),
  'prepared-transactions': warns('Creating the slot has to wait for prepared transactions.'),
});

/** A busy application always has some open; one of this age will probably still be open when the slot is created. */
const LONG_SECONDS = 10;

export const openTransaction = defineCheck({
  codes,
  source: { plugin, transactions: ({ client }) => readBlockers(client, null) },
  find: ({ source }) => {
    if (source === null) return [];
    const blocked = source.plugin.state === 'blocked';
    const blockers = source.plugin.blockers;
    const prepared = source.transactions.filter((one) => one.prepared !== null);
    const named = new Set(blockers.map(({ pid }) => pid));
    const open = [
      ...blockers.filter((one) => one.prepared === null),
      ...source.transactions.filter(
        (one) => one.prepared === null && one.seconds >= LONG_SECONDS && !named.has(one.pid),
      ),
    ];
    // The probe timed out, but no transaction is visible: another role's session.
    const hidden = blocked && open.length === 0 && prepared.length === 0;
    return [
      (open.length > 0 || hidden) &&
        warning(
          'open-transactions',
          `creating the slot on the source has to wait for open transactions: ${hidden ? 'transactions that this role cannot see (grant pg_read_all_stats shows them)' : list(open.map(session))}`,
          'End them (select pg_terminate_backend(PID)), or let the migration wait for them.',
        ),
      prepared.length > 0 &&
        warning(
          'prepared-transactions',
          `creating the slot on the source has to wait for prepared transactions, which end only by hand: ${list(prepared.map(gid))}`,
          "In the database of each: commit prepared 'NAME'; or rollback prepared 'NAME';",
        ),
    ];
  },
});

function session({ pid, database, seconds }: Blocker): string {
  return `pid ${pid ?? 'unknown'} (database "${database}", open for ${span(seconds)})`;
}

function gid({ prepared, database, seconds }: Blocker): string {
  return `"${prepared ?? ''}" (database "${database}", prepared ${span(seconds)} ago)`;
}
