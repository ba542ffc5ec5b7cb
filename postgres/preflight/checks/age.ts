/**
 * Transaction ids: the snapshot of the copy, and the slot until it is dropped, hold vacuum back, so that a cluster that is old
 * already gets older. The server stops giving ids out some three million before the end.
 */
import type { Check, ServerFacts } from '../facts.ts';
import { error, warning } from '../wording.ts';

/** 2^31; a cluster whose oldest id is that far back has none left. */
const ALL = 2 ** 31;
/** Half of all: as much again may pass during the copy. */
const OLD = ALL / 2;
/** Some 150 million are left: a busy server uses that in a day. */
const TOO_OLD = 2_000_000_000;

export const age: Check = ({ source, target }) =>
  (
    [
      ['source', source],
      ['target', target],
    ] as const
  ).flatMap(([side, server]) => (server === null ? [] : of(side, server)));

function of(side: 'source' | 'target', { age: { xids, multixacts } }: ServerFacts) {
  const oldest = Math.max(xids, multixacts);
  if (oldest < OLD) return [];
  const what = xids >= multixacts ? 'transaction ids' : 'multixact ids';
  const left = Math.round((ALL - oldest) / 1e6);
  const finding = oldest >= TOO_OLD ? error : warning;
  return [
    finding(
      `${side}-transaction-age`,
      `the oldest ${what} of the ${side}'s server are ${Math.round(oldest / 1e6)} million back, ${left} million are left, and ${side === 'source' ? 'copy and slot hold vacuum back' : 'the copy uses some'}`,
      `On the ${side}, as a superuser: find the database (select datname, age(datfrozenxid), mxid_age(datminmxid) from pg_database order by 2 desc) and run vacuum (freeze) in it; end old transactions, slots and prepared transactions that hold it back.`,
    ),
  ];
}
