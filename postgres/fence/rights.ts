/** What the rights on the source allow, and what writes in spite of a fence, before anybody relies on it. Reads catalogs only. */
import type pg from 'pg';
import { MOST_NAMED, type FenceRights, type Passing } from '../../contract/fence.ts';
import { listed } from '../../contract/listed.ts';
import { nameOf } from '../catalog/table-name.ts';
import type { TableName } from '../catalog/selection.ts';
import { FENCE_SCHEMA } from '../catalog/own-object.ts';
import type { FencedInput } from './fence-contract.ts';
import { readFencedTables } from './fenced-tables.ts';
import { commandsOf } from './operator-command.ts';
import { subscribedAmong } from './subscription.ts';
import { unboundWriters } from './unbound-writer.ts';
import { readWriteRights } from './write-right.ts';

const TABLES = /* sql */ `
select n.nspname as schema, c.relname as name, pg_catalog.pg_has_role(c.relowner, 'usage') as owned,
       pg_catalog.has_table_privilege(c.oid, 'trigger') and pg_catalog.has_schema_privilege(n.oid, 'usage') as triggers
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.oid = any($1::oid[]) order by 1, 2`;

const GENERAL = /* sql */ `
select pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create') as creates,
       coalesce((select pg_catalog.pg_has_role(n.nspowner, 'usage') from pg_catalog.pg_namespace n where n.nspname = '${FENCE_SCHEMA}'), true) as ours,
       coalesce((select pg_catalog.has_language_privilege(l.oid, 'usage') from pg_catalog.pg_language l where l.lanname = 'plpgsql'), false) as plpgsql,
       exists (select from pg_catalog.pg_largeobject_metadata) as "largeObjects"`;

interface General {
  readonly creates: boolean;
  readonly ours: boolean;
  readonly plpgsql: boolean;
  readonly largeObjects: boolean;
}

interface Table extends TableName {
  readonly owned: boolean;
  readonly triggers: boolean;
}

const names = (tables: readonly TableName[]) => listed(tables.map(nameOf), MOST_NAMED);

/** Of the kind `trigger`. */
export async function triggerRights(
  source: pg.ClientBase,
  { tables: selection }: Pick<FencedInput, 'tables'>,
): Promise<FenceRights> {
  const { tables: fenced, also } = await readFencedTables(source, selection);
  const { rows: tables } = await source.query<Table>(TABLES, [fenced.map(({ oid }) => oid)]);
  const general = await readGeneral(source);
  const without = tables.filter(({ triggers }) => !triggers);
  const foreign = tables.filter(({ owned }) => !owned);
  return {
    kind: 'trigger',
    missing: [
      ...(general.creates ? [] : ['the role may not create a schema in the database']),
      ...(general.ours ? [] : [`schema ${FENCE_SCHEMA} belongs to another role`]),
      ...(general.plpgsql ? [] : ['the role may not use the language plpgsql']),
      ...(without.length > 0
        ? [`the role may not create triggers on ${names(without)} (right TRIGGER)`]
        : []),
    ],
    passes: [
      ...passing(foreign.length > 0, {
        name: 'replica-role',
        what: `sessions in replica role write to tables that the role does not own: ${names(foreign)}`,
        action:
          'End such sessions before the cutover, or let walferry use a role that owns the tables.',
        refuses: false,
      }),
      ...(await subscriptions(source, fenced)),
      ...passing(also.length > 0, {
        name: 'unselected-children',
        what: `the fence also stops writes through their parents to tables that are not selected: ${listed(also, MOST_NAMED)}`,
        action: 'Nothing, if they may stand still during the cutover.',
        refuses: false,
      }),
      ...everybody(general),
    ],
  };
}

/** Of the kind `roles`. */
export async function roleRights(
  source: pg.ClientBase,
  { tables: selection }: Pick<FencedInput, 'tables'>,
): Promise<FenceRights> {
  const { tables } = await readFencedTables(source, selection);
  const oids = tables.map(({ oid }) => oid);
  const rights = await readWriteRights(source, oids);
  const lost = rights.filter(({ restorable }) => !restorable);
  return {
    kind: 'roles',
    missing:
      lost.length === 0
        ? []
        : [
            `rights that this role could not grant back exactly, by ${listed([...new Set(lost.map(({ grantor }) => grantor))], MOST_NAMED)}`,
          ],
    passes: [
      ...(await unboundWriters(source, oids)),
      ...(await subscriptions(source, tables)),
      noDeadline(REVOKED),
      ...everybody(await readGeneral(source)),
    ],
  };
}

/** Of the kind `command`. */
export async function commandRights(
  source: pg.ClientBase,
  { tables: selection }: Pick<FencedInput, 'tables'>,
): Promise<FenceRights> {
  const { tables } = await readFencedTables(source, selection);
  let missing: string[] = [];
  try {
    commandsOf();
  } catch (error) {
    missing = [error instanceof Error ? error.message : 'the worker has no commands'];
  }
  return {
    kind: 'command',
    missing,
    passes: [
      {
        name: 'other-ways',
        what: 'whoever does not go through what the command closes keeps writing',
        action: 'Make sure that every application does, or use the fence "trigger".',
        refuses: false,
      },
      ...(await subscriptions(source, tables)),
      noDeadline(CLOSED),
      ...everybody(await readGeneral(source)),
    ],
  };
}

/** Of the kind `none`. */
export const noRights: FenceRights = {
  kind: 'none',
  missing: [],
  passes: [
    {
      name: 'no-fence',
      what: 'nothing stops the writes',
      action: 'Stop every writer before you call cutover.',
      refuses: false,
    },
  ],
};

/** What remains when everything of ours is gone. */
const noDeadline = (how: string): Passing => ({
  name: 'no-deadline',
  what: `the writes do not come back by themselves when all workers are gone: ${how}`,
  action: 'Keep a worker running until the cutover has ended.',
  refuses: false,
});
const REVOKED =
  'the rights stay revoked until a worker grants them back from what the target has stored';
const CLOSED =
  'what the command has closed stays closed until a worker runs the other command, or you do';

async function subscriptions(
  source: pg.ClientBase,
  tables: readonly { readonly oid: number }[],
): Promise<Passing[]> {
  const found = await subscribedAmong(source, tables);
  return passing(found.length > 0, {
    name: 'subscriptions',
    what: `subscriptions write to selected tables, whatever the fence: ${listed(found, MOST_NAMED)}`,
    action: 'Disable them before the cutover: alter subscription NAME disable.',
    refuses: true,
  });
}

/** What no fence binds. */
function everybody({ largeObjects }: General): Passing[] {
  return passing(largeObjects, {
    name: 'large-objects',
    what: 'large objects can be written, and are not in the stream either',
    action: 'Stop what writes them before the cutover.',
    refuses: false,
  });
}

const passing = (is: boolean, one: Passing): Passing[] => (is ? [one] : []);

async function readGeneral(source: pg.ClientBase): Promise<General> {
  const { rows } = await source.query<General>(GENERAL);
  const [found] = rows;
  if (!found) throw new Error('a SELECT without FROM returned no row');
  return found;
}
