/**
 * What the application does: small transactions over one or several tables, in a fixed mix. Chosen so that the change
 * stream contains what real ones do: hot rows, short-lived rows, keys that change, long values that stay unchanged,
 * updates of rows that are gone, parts rolled back to a savepoint.
 */
import type { Random } from './random.ts';
import type { Transaction } from './transaction.ts';

/** What a connection knows of the database; ids it created are deleted again, seeded ones mostly stay. */
export interface Known {
  readonly persons: number;
  readonly accounts: number;
  readonly connection: number;
  readonly ownPersons: string[];
  readonly ownNotes: string[];
  readonly ownEvents: string[];
}

type Work = (transaction: Transaction, random: Random, known: Known) => Promise<void>;

const CITIES = ['Izmir', 'Jena', 'Kyiv', 'Lviv', 'Málaga', 'Närke', 'Oświęcim', '東京', "L'Aquila"];
const HOT_PERSONS = 20;
/** Rows that a connection created and works on: few, so that the same rows change repeatedly. */
const REMEMBERED = 200;
/** Long enough to be stored out of line, above 2 kB. */
const NOTE_LENGTH = { least: 3_000, most: 20_000 };

const register: Work = async (transaction, random, known) => {
  const [person] = await transaction.insert(
    'person',
    `(name, city, born, revision) values ($1, $2, date '1950-01-01' + $3::integer, nextval('change_number'))`,
    [`New "person" \\ ${random.between(1, 1e9)}`, random.pick(CITIES), random.between(0, 20_000)],
  );
  if (person === undefined) return;
  await transaction.insert(
    'account',
    `(person_id, balance, revision) values ($1, $2, nextval('change_number'))`,
    [person, `${random.between(0, 1e6)}.${random.between(100_000, 999_999)}`],
  );
  remember(known.ownPersons, [person]);
};

const edit: Work = async (transaction, random, known) => {
  const count = random.between(1, 3);
  for (let index = 0; index < count; index++) {
    const hot = random.chance(0.2);
    const id = random.between(1, hot ? Math.min(HOT_PERSONS, known.persons) : known.persons);
    await transaction.update(
      'person',
      'city = $1, active = not active, updated_at = now()',
      't.id = $2',
      [random.pick(CITIES), id],
    );
  }
};

const transfer: Work = async (transaction, random, known) => {
  const one = random.between(1, known.accounts);
  const other = random.between(1, known.accounts);
  const amount = `${random.between(0, 999)}.${random.between(0, 999_999).toString().padStart(6, '0')}`;
  if (one === other) return;
  // In the order of the ids: two opposite transfers would deadlock all the time.
  const [first, second] = one < other ? [one, other] : [other, one];
  await transaction.update('account', 'balance = balance - $1', 't.id = $2', [amount, first]);
  await transaction.update('account', 'balance = balance + $1', 't.id = $2', [amount, second]);
};

const buy: Work = async (transaction, random, known) => {
  const account = random.between(1, known.accounts);
  const amount = random.chance(0.01)
    ? 'NaN'
    : `${random.between(1, 9_999)}.${random.between(10, 99)}`;
  const [purchase] = await transaction.insert(
    'purchase',
    `(person_id, account_id, invoice, amount, revision)
     select a.person_id, a.id, nextval('invoice_number'), $2, nextval('change_number') from account a where a.id = $1`,
    [account, amount],
  );
  if (purchase === undefined || amount === 'NaN') return;
  await transaction.update('account', 'balance = balance - $1', 't.id = $2', [amount, account]);
};

const write: Work = async (transaction, random, known) => {
  const note = random.pick(known.ownNotes);
  if (note === undefined || random.chance(0.4)) {
    const body = 'ab\tc\n\\d"e'.repeat(random.between(NOTE_LENGTH.least, NOTE_LENGTH.most) / 10);
    const keys = await transaction.insert(
      'note',
      `(person_id, body, tags, raw, revision)
       values ($1, $2, jsonb_build_object('big', 12345678901234567890.10, 'text', $3::text),
               '\\x00deadbeef', nextval('change_number'))`,
      [random.between(1, known.persons), body, `"value":${random.between(1, 99)}`],
    );
    remember(known.ownNotes, keys);
  } else if (random.chance(0.5)) {
    const tags = `tags = tags || jsonb_build_object('read', $2::integer)`;
    await transaction.update('note', tags, 't.id = $1', [note, random.between(1, 1000)]);
  } else if (random.chance(0.6)) {
    // The change carries the new key without the body: "delete and insert" would lose the body.
    const key = await transaction.rekey('note', 'id = gen_random_uuid()', 't.id = $1', note);
    remember(known.ownNotes, key === undefined ? [] : [key]);
  } else {
    await transaction.delete('note', 't.id = $1', [note]);
  }
};

const EVENT_BY_KEY = `t.connection = split_part($1, '/', 1)::integer and t.position = split_part($1, '/', 2)::bigint`;

const log: Work = async (transaction, random, known) => {
  const event = random.pick(known.ownEvents);
  if (event === undefined || random.chance(0.6)) {
    const keys = await transaction.insert(
      'event',
      `(connection, position, kind, payload, revision)
       select $1, nextval('change_number'), 'visit',
              case when n > 1 then jsonb_build_object('n', n) end, nextval('change_number')
       from generate_series(1, $2::integer) n`,
      [known.connection, random.between(1, 5)],
    );
    remember(known.ownEvents, keys);
  } else if (random.chance(0.5)) {
    const set = `position = nextval('change_number'), kind = 'moved'`;
    const key = await transaction.rekey('event', set, EVENT_BY_KEY, event);
    remember(known.ownEvents, key === undefined ? [] : [key]);
  } else {
    await transaction.delete('event', EVENT_BY_KEY, [event]);
  }
};

/** Keys of deleted rows stay in these lists: changing them finds nothing, as in any application. */
function remember(list: string[], keys: readonly string[]): void {
  list.push(...keys);
  if (list.length > REMEMBERED) list.splice(0, list.length - REMEMBERED);
}

const leave: Work = async (transaction, random, known) => {
  const person = random.pick(known.ownPersons);
  if (person === undefined) return;
  await transaction.delete('purchase', 't.person_id = $1', [person]);
  await transaction.delete('account', 't.person_id = $1', [person]);
  await transaction.delete('person', 't.id = $1', [person]);
};

const MIX: readonly (readonly [Work, number])[] = [
  [register, 16],
  [edit, 26],
  [transfer, 14],
  [buy, 14],
  [write, 10],
  [log, 12],
  [leave, 8],
];
const TOTAL = MIX.reduce((sum, [, weight]) => sum + weight, 0);

/** One transaction, chosen by the mix. */
export function chooseWork(random: Random): Work {
  let left = random.next() * TOTAL;
  for (const [work, weight] of MIX) {
    left -= weight;
    if (left < 0) return work;
  }
  return edit;
}
