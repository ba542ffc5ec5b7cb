/**
 * Drops what copySchema created, for a migration that fails before its snapshot. Drops only objects that carry a mark, by
 * the archive's own DROP statements in reverse order. CASCADE never drops other objects, and no table with rows is dropped.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { lockableObjects } from '../catalog/lock-capacity.ts';
import { ArchiveFile } from '../dump/pg-dump.ts';
import { withRows } from './existing.ts';
import type { Session } from '../session/session.ts';
import { enableTriggers } from './disable-trigger.ts';
import { endOnTarget } from './drop-control.ts';
import { failed, prepareSession } from '../session/ddl-failure.ts';
import { whileWatched } from '../session/liveness.ts';
import { type StoredEntry, readEntries } from '../store/schema-entry.ts';
import { hasStore } from '../store/upgrade.ts';
import { markEntriesUndone } from '../store/entry-mark.ts';
import { markTablesIncomplete } from '../store/tables-created.ts';
import { readArchive, readArchiveOffsets, readBeforeCopy } from '../store/archive-bytes.ts';
import { connectTarget } from '../session/open.ts';

/** Most objects that one transaction drops, and most locks of each: the table, its TOAST table, the TOAST index, a sequence. */
const ENTRIES_PER_BATCH = 1_000;
const LOCKS_PER_ENTRY = 5;

const RELATIONS = new Set(['TABLE', 'VIEW', 'MATERIALIZED VIEW', 'FOREIGN TABLE', 'SEQUENCE']);
const FUNCTIONS = new Set(['FUNCTION', 'PROCEDURE', 'AGGREGATE']);

/**
 * Drops what walferry created on the target and the migration's control rows. Idempotent.
 * @throws MigrationError `SchemaFailed` when a table holds rows, when chunks were copied, or when something else depends on
 *   what would be dropped; what could not be dropped stays, with its marks.
 */
export async function undoSchema(
  migration: Migration,
  signal: AbortSignal = new AbortController().signal,
  beat: Work['beat'] = () => undefined,
): Promise<void> {
  try {
    await using session = await connectTarget(migration, 'cleanup', {
      unregistered: 'any more',
      signal,
    });
    await session.takeOver({ purpose: 'schema' });
    await prepareSession(session);
    const archive = await session.run((client) => readFirstArchive(client, migration));
    if (archive === undefined) return;
    const progress = { step: 'dropping the created schema', dropped: 0 };
    await whileWatched(
      [session],
      { beat },
      () => ({ ...progress }),
      async () => {
        // No checks: their tables are dropped, or are the operator's and have none of ours.
        await enableTriggers(migration, { signal, beat }, 'nothing');
        if (archive !== null) {
          await dropEntries(session, migration, archive, { signal, beat }, (dropped) => {
            progress.dropped = dropped;
          });
        }
        await session.run((client) => endOnTarget(client, migration));
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    throw failed(error, {
      what: 'the created schema objects could not be dropped',
      code: 'SchemaFailed',
    });
  }
}

/** Undefined: nothing of this migration exists. Null: it used existing tables. */
async function readFirstArchive(
  client: pg.ClientBase,
  migration: Migration,
): Promise<Buffer | null | undefined> {
  if (!(await hasStore(client))) return undefined;
  const row = await readBeforeCopy(client, migration);
  if (row?.copied === true) {
    throw new MigrationError('SchemaFailed', 'rows were copied: the created schema is not dropped');
  }
  return row?.archive;
}

async function dropEntries(
  session: Session,
  migration: Migration,
  archive: Buffer,
  work: Pick<Work, 'signal' | 'beat'>,
  onDropped: (dropped: number) => void,
): Promise<void> {
  const created = (await readEntries(session, migration.id, ['tables']))
    .filter(({ done }) => done)
    .reverse();
  const size = await lockableObjects([session], LOCKS_PER_ENTRY, ENTRIES_PER_BATCH);
  const offsets = [0, ...(await readArchiveOffsets(session, migration.id))];
  const offsetOf = (entry: StoredEntry | undefined) =>
    offsets.findLast((offset) => offset < (entry?.id ?? 0)) ?? 0;
  for (let at = 0; at < created.length;) {
    // Consecutive entries of one archive; most entries are in such sequences.
    const offset = offsetOf(created[at]);
    let end = at;
    while (end < created.length && offsetOf(created[end]) === offset) end += 1;
    const content = offset === 0 ? archive : await readArchive(session, migration.id, offset);
    await using file = await ArchiveFile.create(content, work);
    for (; at < end; at += size) {
      const batch = created.slice(at, Math.min(end, at + size));
      const drops = await file.drops(batch.map(({ id }) => id - offset));
      await dropBatch(session, migration, { batch, created, drops });
      onDropped(at + batch.length);
    }
    at = end;
  }
}

async function dropBatch(
  session: Session,
  migration: Migration,
  parts: {
    readonly batch: readonly StoredEntry[];
    readonly created: readonly StoredEntry[];
    readonly drops: string;
  },
): Promise<void> {
  const { batch, created, drops } = parts;
  // Checking every object of the database for each batch would take hours in a large one.
  const cascades = / CASCADE;/.test(drops);
  await session.transaction(async (client) => {
    await refuseRows(client, batch);
    if (cascades) await noteObjects(client);
    await client.query(drops);
    if (cascades) await refuseOthers(client, created);
    await markEntriesUndone(
      client,
      migration.id,
      batch.map(({ id }) => id),
    );
    await markTablesIncomplete(client, migration);
  });
}

/** Locks the tables against writers, so that none gets a row between the check and the drop. */
async function refuseRows(client: pg.ClientBase, batch: readonly StoredEntry[]): Promise<void> {
  const tables = batch
    .filter(({ kind }) => kind === 'TABLE')
    .map(({ schema, name }) => ({
      label: `${schema ?? ''}.${name}`,
      sql: `${pg.escapeIdentifier(schema ?? '')}.${pg.escapeIdentifier(name)}`,
    }));
  const there = await client.query<{ i: number }>(
    /* sql */ `
    select i::int from unnest($1::text[]) with ordinality as t(sql, i)
     where to_regclass(sql) is not null`,
    [tables.map(({ sql }) => sql)],
  );
  const present = there.rows.flatMap(({ i }) => tables[i - 1] ?? []);
  for (const { sql } of present) {
    await client.query(/* sql */ `lock table only ${sql} in access exclusive mode`);
  }
  const [filled] = await withRows(client, present);
  if (filled === undefined) return;
  throw new MigrationError(
    'SchemaFailed',
    `${filled.label} holds rows that walferry did not copy: the created schema is not dropped`,
    { table: filled.label },
  );
}

/** What a CASCADE could drop of others: relations, columns (a dropped type drops them and leaves their table), functions. */
async function noteObjects(client: pg.ClientBase): Promise<void> {
  await client.query(/* sql */ `
    drop table if exists pg_temp.noted;
    create temporary table noted on commit drop as
    select 'relation' as kind, c.oid as owner, 0 as part, n.nspname as schema, c.relname as name, null::name as column
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relpersistence <> 't'
    union all
    select 'column', c.oid, a.attnum, n.nspname, c.relname, a.attname
      from pg_catalog.pg_attribute a
      join pg_catalog.pg_class c on c.oid = a.attrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
       and c.relpersistence <> 't' and n.nspname not in ('pg_catalog', 'information_schema')
    union all
    select 'function', p.oid, 0, n.nspname, p.proname, null
      from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     where n.nspname <> 'pg_catalog';
    -- What belongs to an extension or to a type (the constructors of a range) goes with its owner.
    delete from pg_temp.noted using pg_catalog.pg_depend d
     where d.objid = noted.owner and d.objsubid = 0 and d.deptype in ('e', 'i')
       and d.classid = case noted.kind when 'function' then 'pg_catalog.pg_proc'::regclass
                                       else 'pg_catalog.pg_class'::regclass end`);
}

const GONE = /* sql */ `
select kind, schema, name, "column" from pg_temp.noted
 where case kind
         when 'relation' then not exists (select from pg_catalog.pg_class c where c.oid = owner)
         when 'function' then not exists (select from pg_catalog.pg_proc p where p.oid = owner)
         -- Columns of a relation that is gone went with it.
         else exists (select from pg_catalog.pg_class c where c.oid = owner)
              and not exists (select from pg_catalog.pg_attribute a
                               where a.attrelid = owner and a.attnum = part and not a.attisdropped)
       end
 order by 1, 2, 3, 4`;

/**
 * pg_dump's own statement for a base type says CASCADE. It must not drop anyone else's table, view or function, nor a column
 * of a table that stays. None of our own statements drops a single column.
 * @throws MigrationError `SchemaFailed` naming what would be lost.
 */
async function refuseOthers(client: pg.ClientBase, created: readonly StoredEntry[]): Promise<void> {
  const relations = new Set(created.filter(({ kind }) => RELATIONS.has(kind)).map(keyOf));
  // The tag of a function is its signature. The functions of a type are dropped with it, before their own turn.
  const functions = new Set(
    created
      .filter(({ kind }) => FUNCTIONS.has(kind))
      .map(({ schema, name }) => keyOf({ schema, name: name.slice(0, name.lastIndexOf('(')) })),
  );
  const { rows } = await client.query<{
    kind: 'relation' | 'column' | 'function';
    schema: string;
    name: string;
    column: string | null;
  }>(GONE);
  const other = rows.find(
    ({ kind, schema, name }) =>
      kind === 'column' ||
      !(kind === 'relation' ? relations : functions).has(keyOf({ schema, name })),
  );
  if (other === undefined) return;
  const { kind, schema, name, column } = other;
  const object = `${schema}.${name}${column === null ? '' : `.${column}`}`;
  throw new MigrationError(
    'SchemaFailed',
    `${kind} ${object}, which walferry did not create, uses a type that would be dropped: the created schema is not dropped`,
    { object },
  );
}

function keyOf({ schema, name }: { schema: string | null; name: string }): string {
  return JSON.stringify([schema, name]);
}
