/**
 * Transactions that keep a slot waiting: its creation, and the snapshot after it, wait for everything that was open before and
 * has an id, in whatever database of the server.
 */
import type { Finding } from '../../../contract/finding.ts';
import type { Blocker } from '../../slot/blockers.ts';
import type { Check } from '../facts.ts';
import { list, span, warning } from '../wording.ts';

/** A busy application always has some open; one that is as old as this will still be there when the slot is made. */
const LONG_SECONDS = 10;

export const transaction: Check = ({ source }) => {
  if (source === null) return [];
  const findings: Finding[] = [];
  const blocked = source.plugin.state === 'blocked';
  const waitedFor = source.plugin.blockers;
  const prepared = source.transactions.filter((one) => one.prepared !== null);
  const named = new Set(waitedFor.map(({ pid }) => pid));
  const open = [
    ...waitedFor.filter((one) => one.prepared === null),
    ...source.transactions.filter(
      (one) => one.prepared === null && one.seconds >= LONG_SECONDS && !named.has(one.pid),
    ),
  ];
  // A slot that was waited for in vain, and nobody to be seen: another role's session.
  const hidden = blocked && open.length === 0 && prepared.length === 0;
  if (open.length > 0 || hidden) {
    findings.push(
      warning(
        'open-transactions',
        `creating a slot on the source has to wait for transactions that are open: ${hidden ? 'transactions that this role cannot see (grant pg_read_all_stats shows them)' : list(open.map(session))}`,
        'End them (select pg_terminate_backend(PID)) or wait for them; the migration waits for them, too.',
      ),
    );
  }
  if (prepared.length > 0) {
    findings.push(
      warning(
        'prepared-transactions',
        `prepared transactions on the source end only when somebody ends them, and a slot has to wait for them: ${list(prepared.map(gid))}`,
        "In the database of each: commit prepared 'NAME'; or rollback prepared 'NAME';",
      ),
    );
  }
  return findings;
};

function session({ pid, database, seconds }: Blocker): string {
  return `pid ${pid ?? 'unknown'} (database "${database}", open for ${span(seconds)})`;
}

function gid({ prepared, database, seconds }: Blocker): string {
  return `"${prepared ?? ''}" (database "${database}", prepared ${span(seconds)} ago)`;
}
