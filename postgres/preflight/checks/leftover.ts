/** Nothing of an earlier migration remains: its slot would retain WAL forever, and its control rows describe other copies. */
import { readRegistered } from '../../store/registered.ts';
import { readGates, type FoundGate } from '../../fence/gate.ts';
import { slotPrefix } from '../../../contract/slot-name.ts';
import { type Migration } from '../../../contract/migration.ts';
import { cleanupCommand, shellWord } from '../../../contract/shell-command.ts';
import { list } from '../wording.ts';
import { defineCheck, raising, refuses, warns, type Found } from '../check.ts';
import { slots, type SlotFacts } from '../facts/slots.ts';
import type { TargetReading } from '../reading.ts';
import type { ServerFacts } from '../server.ts';

const { codes, error, warning } = raising({
  'leftover-slot': refuses(
    'An earlier run of this workflow, or this run before a reset, left its slot on the source.',
  ),
  'other-slot': warns('The source has other slots of walferry.'),
  'control-schema': refuses('The target has a schema "walferry" that cannot be used.'),
  'leftover-fence': refuses('The target has the fence of another migration.'),
  'leftover-control': refuses(
    'The target holds the state of another migration, or of this one before a reset.',
  ),
});

export const leftover = defineCheck({
  codes,
  source: { slots },
  target: { control: readControl, gates: ({ client }) => readGates(client) },
  find: ({ source, target, migration }) => [
    source && left(source, migration),
    target && control(target.control, migration),
    target && fence(target.gates, target.control, migration),
  ],
});

/** One that is open does nothing; one with a control schema is reported, and removed, with that. */
function fence(
  gates: readonly FoundGate[],
  { migrations }: ControlFacts,
  migration: Migration,
): Found {
  const known = new Set([migration.id, ...migrations.map(({ id }) => id)]);
  const [other, ...more] = gates.filter(({ id, state }) => state !== 'open' && !known.has(id));
  return (
    other &&
    error(
      'leftover-fence',
      `the target has the ${other.state} fence of another migration, workflow "${other.workflowId}", which refuses writes to its tables${more.length > 0 ? `; and ${more.length} more` : ''}`,
      `If that run has ended, remove it: ${cleanupCommand(migration, other.workflowId)}`,
    )
  );
}

/** The hash at the end of a slot's name. Without it, the slots of `a_b` would count as slots of `a`. */
const HASH = /^[0-9a-f]{16}$/;

function left(
  { slots: all, database }: ServerFacts & { readonly slots: readonly SlotFacts[] },
  migration: Migration,
): Found {
  const prefix = slotPrefix(migration.workflowId);
  const others = all.filter(
    ({ name, temporary }) => name.startsWith('walferry_') && name !== migration.slot && !temporary,
  );
  const earlier = others.filter(
    ({ name }) => name.startsWith(prefix) && HASH.test(name.slice(prefix.length)),
  );
  // One that is in use in another database belongs to a running migration.
  const foreign = others.filter(
    (slot) => !earlier.includes(slot) && (!slot.active || slot.database === database),
  );
  // This run has created nothing yet: after a reset to its beginning the workflow is the same migration again.
  const own = all.filter(({ name, temporary }) => name === migration.slot && !temporary);
  return [
    own.length > 0 &&
      error(
        'leftover-slot',
        `workflow "${migration.workflowId}" was reset to its beginning, and its slot from before the reset still retains WAL on the source: ${list(own.map(describe))}`,
        resetAction(migration),
      ),
    earlier.length > 0 &&
      error(
        'leftover-slot',
        `an earlier run of workflow "${migration.workflowId}" left its slot on the source: ${list(earlier.map(describe))}`,
        `Remove it: ${cleanupCommand(migration, migration.workflowId)}`,
      ),
    foreign.length > 0 &&
      warning(
        'other-slot',
        `the source has other slots of walferry: ${list(foreign.map(describe))}`,
        `If no migration needs them, find out which they belong to: walferry cleanup ${migration.source} ${migration.target}`,
      ),
  ];
}

function control(found: ControlFacts, migration: Migration): Found {
  const others = found.migrations.filter(({ id }) => id !== migration.id);
  if (found.state === 'foreign' || found.state === 'hidden') {
    return error(
      'control-schema',
      found.state === 'foreign'
        ? 'the target has a schema "walferry" that walferry did not create'
        : 'the target has a schema "walferry" that the role may not read',
      found.state === 'foreign'
        ? 'Rename or drop that schema on the target.'
        : 'Use the role that created it in the target service. Do not drop it: it may hold the state of another migration.',
    );
  }
  const own = found.migrations.filter(({ id }) => id === migration.id);
  const reset = own.map(({ workflowId }) =>
    error(
      'leftover-control',
      `workflow "${workflowId}" was reset to its beginning, and the target holds its state from before the reset in schema "walferry"`,
      resetAction(migration),
    ),
  );
  const foreign = others.map(({ workflowId }) =>
    error(
      'leftover-control',
      `the target holds the state of another migration, workflow "${workflowId}", in schema "walferry"`,
      `If that run has ended, remove its state: ${cleanupCommand(migration, workflowId)}`,
    ),
  );
  return [...reset, ...foreign];
}

/** This run ends with its findings; cleanup waits for that. */
function resetAction(migration: Migration): string {
  const { workflowId } = migration;
  return `To continue where it was: temporal workflow reset -w ${shellWord(workflowId)} --run-id RUN --type LastWorkflowTask --reapply-exclude Update --reason "continue", where RUN is the run before the reset. To start over: ${cleanupCommand(migration, workflowId)}, empty the target's tables and start the migration again.`;
}

const MEGABYTE = 1024 * 1024;

function describe({ name, active, retainedBytes, database }: SlotFacts): string {
  const megabytes = Math.round(retainedBytes / MEGABYTE);
  return `${name} (database ${database ?? 'none'}, ${active ? 'in use' : 'not in use'}, retains ${megabytes} MB of WAL)`;
}

interface ControlFacts {
  /** `foreign`: walferry did not create the schema. `hidden`: the role may not read it. */
  readonly state: 'absent' | 'readable' | 'foreign' | 'hidden';
  readonly migrations: readonly { readonly id: string; readonly workflowId: string }[];
}

/** The state that an earlier or another migration stores on the target. */
async function readControl({ client }: TargetReading): Promise<ControlFacts> {
  const { rows } = await client.query<{ usable: boolean; ours: boolean }>(/* sql */ `
    select has_schema_privilege(n.oid, 'usage')
             and coalesce(has_table_privilege(c.oid, 'select'), false) as usable,
           c.oid is not null as ours
      from pg_catalog.pg_namespace n
      left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = 'migration'
     where n.nspname = 'walferry'`);
  const [schema] = rows;
  if (!schema) return { state: 'absent', migrations: [] };
  if (!schema.ours) return { state: 'foreign', migrations: [] };
  if (!schema.usable) return { state: 'hidden', migrations: [] };
  return { state: 'readable', migrations: await readRegistered(client) };
}
