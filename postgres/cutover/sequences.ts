/**
 * Sequences are not in the stream: after the writers stopped, their state is read on the source and set on the target.
 * Values stay text; `is_called` goes along, so that the next value is the same on both sides.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { lockCapacity, within } from '../catalog/capacity.ts';
import { readRelations } from '../catalog/relation.ts';
import { classify, sqlstate } from '../connection/failure.ts';
import { connectTarget } from '../identity/connect.ts';
import { flushSeen } from '../wal/flush.ts';
import { openSource } from './source.ts';
import { takeTurn } from '../control/turn.ts';
import { hasSchemaControl } from '../schema/control.ts';
import { whileAllWatched } from '../schema/watch.ts';

export interface SequenceReport {
  /** Sequences that were set. */
  readonly sequences: number;
  /** Sequences of the source that the target does not have, as `schema.name`; the list is bounded. */
  readonly missing: readonly string[];
  /** How many more of those there are; unset for none. */
  readonly unnamed?: number;
}

interface Sequence {
  readonly schema: string;
  readonly name: string;
  /** Column that owns it (serial and identity), null for a sequence of its own. */
  readonly table: string | null;
  readonly table_schema: string | null;
  readonly column: string | null;
  /** Oids of tables with a default that takes its values from it. */
  readonly users: readonly number[];
  readonly sql: string;
}

interface State extends Omit<Sequence, 'sql' | 'users'> {
  readonly value: string;
  readonly called: boolean;
}

/** Sequences that one statement reads, or one transaction sets; each is a relation to open and lock. */
const SEQUENCES_AT_ONCE = 500;
/** Names live in the workflow's history. */
const MOST_MISSING = 50;

/** All sequences of the schemas in question; the caller drops those that belong to tables left out. */
const SEQUENCES = /* sql */ `
select n.nspname as schema, s.relname as name, tn.nspname as table_schema, t.relname as table,
       a.attname as column, format('%I.%I', n.nspname, s.relname) as sql,
       array(select f.adrelid::int8::float8
               from pg_catalog.pg_depend u
               join pg_catalog.pg_attrdef f on f.oid = u.objid
              where u.classid = 'pg_catalog.pg_attrdef'::regclass
                and u.refclassid = 'pg_catalog.pg_class'::regclass and u.refobjid = s.oid) as users
  from pg_catalog.pg_class s
  join pg_catalog.pg_namespace n on n.oid = s.relnamespace
  left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = s.oid
        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i')
  left join pg_catalog.pg_class t on t.oid = d.refobjid
  left join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
  left join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
 where s.relkind = 'S' and s.relpersistence <> 't'
   and n.nspname not in ('pg_catalog', 'information_schema', 'walferry') and n.nspname !~ '^pg_(toast|temp)'
   and not exists (select from pg_catalog.pg_depend e
                    where e.classid = 'pg_catalog.pg_class'::regclass and e.objid = s.oid and e.deptype = 'e')
 order by 1, 2`;

/** The target's sequence: the one that the same column owns (its name may differ), otherwise the one of that name. */
const SET = /* sql */ `
with wanted as (
  select * from jsonb_to_recordset($1::jsonb)
    as w(schema text, name text, table_schema text, "table" text, "column" text, value text, called boolean)
), found as (
  select w.*, coalesce(
      (select d.objid from pg_catalog.pg_depend d
         join pg_catalog.pg_class t on t.oid = d.refobjid
         join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
         join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
         join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
        where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
          and d.deptype in ('a', 'i') and tn.nspname = w.table_schema and t.relname = w."table"
          and a.attname = w."column" limit 1),
      (select s.oid from pg_catalog.pg_class s join pg_catalog.pg_namespace n on n.oid = s.relnamespace
        where s.relkind = 'S' and n.nspname = w.schema and s.relname = w.name)) as oid
    from wanted w
)
select schema, name, oid is not null as there,
       case when oid is not null
            then pg_catalog.setval(oid::regclass, value::bigint, called) is not null end as set
  from found`;

/**
 * Gives every sequence of the migration its state on the target. Idempotent.
 * @throws MigrationError `SchemaFailed` naming a sequence whose value does not fit the target's.
 */
export async function setSequences(
  migration: Migration,
  input: MigrationInput,
  {
    signal,
    scheduledAt,
    beat = () => undefined,
  }: Partial<Pick<Work, 'signal' | 'scheduledAt' | 'beat'>> = {},
): Promise<SequenceReport> {
  try {
    await using source = await openSource(migration, { ...(signal && { signal }) });
    await using target = await connectTarget(migration, 'cutover', { ...(signal && { signal }) });
    // An attempt that was frozen and wakes up when the application already draws from these sequences would set them back.
    const turn = await takeTurn(target, migration, scheduledAt);
    const progress = { step: 'reading sequences', done: 0, total: 0 };
    const both = [
      { side: 'source', migration, purpose: 'cutover', client: source },
      { side: 'target', migration, purpose: 'cutover', client: target },
    ] as const;
    return await whileAllWatched(
      both,
      { beat },
      () => ({ ...progress }),
      async () => {
        const made = await madeByUs(target, migration);
        const states = await readStates(source, input, made, (done) => (progress.done = done));
        // A setval that went back, and that the source then lost, would let the target hand out numbers that rows have.
        await flushSeen(source, migration);
        Object.assign(progress, { step: 'setting sequences', done: 0, total: states.length });
        const size = within(await lockCapacity(target), 1, SEQUENCES_AT_ONCE);
        let sequences = 0;
        const missing: string[] = [];
        // Each batch is right by itself: a sequence is set to what the source says, however often.
        for (let at = 0; at < states.length; at += size) {
          await target.query(/* sql */ `begin`);
          await turn.hold();
          const { rows } = await setStates(target, states.slice(at, at + size));
          await target.query(/* sql */ `commit`);
          for (const { schema, name, there } of rows) {
            if (there) sequences += 1;
            else missing.push(`${schema}.${name}`);
          }
          progress.done = at + size;
        }
        return {
          sequences,
          missing: missing.slice(0, MOST_MISSING),
          ...(missing.length > MOST_MISSING ? { unnamed: missing.length - MOST_MISSING } : {}),
        };
      },
    );
  } catch (error) {
    throw classify(error, { step: 'setting sequences' }, 'SchemaFailed');
  }
}

/** Sequences that walferry created on the target, whatever schema they are in. */
async function madeByUs(target: pg.ClientBase, migration: Migration): Promise<Set<string>> {
  if (!(await hasSchemaControl(target))) return new Set();
  const { rows } = await target.query<{ schema_name: string; name: string }>(
    /* sql */ `
    select schema_name, name from walferry.schema_entry where migration = $1 and kind = 'SEQUENCE'`,
    [migration.id],
  );
  return new Set(rows.map(({ schema_name, name }) => key(schema_name, name)));
}

/**
 * State of the sequences that belong to the migration: those of schemas with selected tables, those that selected tables own
 * or take defaults from, and those that walferry created. Not those of tables left out, unless one of these holds.
 */
async function readStates(
  source: pg.ClientBase,
  input: MigrationInput,
  made: ReadonlySet<string>,
  told: (done: number) => void,
): Promise<State[]> {
  const relations = await readRelations(source, input.tables, 'estimated');
  const tables = new Set(relations.map(({ schema, name }) => key(schema, name)));
  const oids = new Set(relations.map(({ oid }) => oid));
  const schemas = new Set(relations.map(({ schema }) => schema));
  const found = await source.query<Sequence>(SEQUENCES);
  const wanted = found.rows.filter(
    (sequence) =>
      (sequence.table === null
        ? schemas.has(sequence.schema)
        : tables.has(key(sequence.table_schema, sequence.table))) ||
      sequence.users.some((oid) => oids.has(oid)) ||
      made.has(key(sequence.schema, sequence.name)),
  );
  const states: State[] = [];
  const size = within(await lockCapacity(source), 1, SEQUENCES_AT_ONCE);
  for (let at = 0; at < wanted.length; at += size) {
    const some = wanted.slice(at, at + size);
    told(at);
    const reads = some.map(
      ({ sql }, i) =>
        `select ${i} as i, last_value::text as value, is_called as called from ${sql}`,
    );
    const { rows } = await source.query<{ i: number; value: string; called: boolean }>(
      reads.join(' union all '),
    );
    for (const { i, value, called } of rows) {
      const sequence = some[i];
      if (sequence !== undefined) states.push({ ...sequence, value, called });
    }
  }
  return states;
}

function key(schema: string | null, name: string): string {
  return JSON.stringify([schema, name]);
}

interface SetRow {
  schema: string;
  name: string;
  there: boolean;
}

async function setStates(
  target: pg.ClientBase,
  states: readonly State[],
): Promise<pg.QueryResult<SetRow>> {
  await target.query(/* sql */ `savepoint sequences`);
  try {
    return await target.query<SetRow>(SET, [JSON.stringify(states)]);
  } catch (error) {
    if (sqlstate(error) !== OUT_OF_RANGE) throw error;
    await target.query(/* sql */ `rollback to savepoint sequences`);
    // The whole statement fails for one: find out which.
    for (const state of states) {
      await target.query<SetRow>(SET, [JSON.stringify([state])]).catch((one: unknown) => {
        if (sqlstate(one) !== OUT_OF_RANGE) throw one;
        throw new MigrationError(
          'SchemaFailed',
          `the value of sequence ${state.schema}.${state.name} does not fit the target's sequence (SQLSTATE ${OUT_OF_RANGE})`,
          { object: `${state.schema}.${state.name}`, sqlstate: OUT_OF_RANGE },
        );
      });
    }
    throw error;
  }
}

const OUT_OF_RANGE = '22003';
