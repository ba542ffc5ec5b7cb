/**
 * Transaction id age. The exported snapshot, and the slot until it is dropped, hold vacuum back, so an old cluster gets older.
 * The server refuses to assign ids about three million before the end.
 */
import {
  defineCheck,
  raising,
  ofEachSide,
  onEachSide,
  refusesOrWarns,
  type Side,
} from '../check.ts';
import { value } from '../reading.ts';

const { codes, error, warning } = raising(
  ofEachSide({
    'transaction-age': refusesOrWarns(
      'Transaction or multixact ids are close to wraparound, and the copy holds vacuum back.',
    ),
  }),
);

/** 2^31: at this age, no ids remain. */
const ALL = 2 ** 31;
/** The copy may use as many again. */
const OLD = ALL / 2;
/** About 150 million remain; a busy server uses that in a day. */
const TOO_OLD = 2_000_000_000;

export const age = defineCheck({
  codes,
  both: {
    age: value<AgeFacts>(/* sql */ `
      select json_build_object('xids', max(age(datfrozenxid)), 'multixacts', max(mxid_age(datminmxid)))
        from pg_catalog.pg_database`),
  },
  find: (facts) => onEachSide(facts, (side, { age: found }) => of(side, found)),
});

function of(side: Side, { xids, multixacts }: AgeFacts) {
  const oldest = Math.max(xids, multixacts);
  if (oldest < OLD) return [];
  const what = xids >= multixacts ? 'transaction ids' : 'multixact ids';
  const left = Math.round((ALL - oldest) / 1e6);
  const finding = oldest >= TOO_OLD ? error : warning;
  return finding(
    `${side}-transaction-age`,
    `the oldest ${what} of the ${side} have an age of ${Math.round(oldest / 1e6)} million, so ${left} million remain, and ${side === 'source' ? 'the copy and the slot hold vacuum back' : 'the copy uses some'}`,
    `On the ${side}, as a superuser: find the database (select datname, age(datfrozenxid), mxid_age(datminmxid) from pg_database order by 2 desc) and run vacuum (freeze) in it. End old transactions and prepared transactions, and drop old slots, that hold it back.`,
  );
}

interface AgeFacts {
  /** Of the cluster's oldest database: wraparound protection stops all databases. */
  readonly xids: number;
  readonly multixacts: number;
}
