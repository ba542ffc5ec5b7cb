/** Nothing of an earlier migration is in the way: its slot would hold WAL for ever, its control rows are another's truth. */
import type { Finding } from '../../../contract/finding.ts';
import { slotPrefix, type Migration } from '../../../contract/migration.ts';
import type { Check, SlotFacts, SourceFacts, TargetFacts } from '../facts.ts';
import { cleanupCommand, error, list, warning } from '../wording.ts';

export const leftover: Check = ({ source, target, migration }) => [
  ...(source ? slots(source, migration) : []),
  ...(target ? control(target, migration) : []),
];

/** The hash at the end of a slot's name. Without it `a` would take the slots of `a_b` for its own. */
const HASH = /^[0-9a-f]{16}$/;

function slots({ slots: all, database }: SourceFacts, migration: Migration): Finding[] {
  const prefix = slotPrefix(migration.workflowId);
  const others = all.filter(
    ({ name, temporary }) => name.startsWith('walferry_') && name !== migration.slot && !temporary,
  );
  const earlier = others.filter(
    ({ name }) => name.startsWith(prefix) && HASH.test(name.slice(prefix.length)),
  );
  // One that is in use in another database belongs to a migration that is well.
  const foreign = others.filter(
    (slot) => !earlier.includes(slot) && (!slot.active || slot.database === database),
  );
  const findings: Finding[] = [];
  if (earlier.length > 0) {
    findings.push(
      error(
        'leftover-slot',
        `an earlier run of workflow "${migration.workflowId}" left its slot on the source: ${list(earlier.map(describe))}`,
        `Remove what it left: ${cleanupCommand(migration, migration.workflowId)}`,
      ),
    );
  }
  if (foreign.length > 0) {
    findings.push(
      warning(
        'other-slot',
        `other slots of walferry are on the source: ${list(foreign.map(describe))}`,
        `If no migration needs them any more, see what they belong to: npm run cleanup -- ${migration.source} ${migration.target}`,
      ),
    );
  }
  return findings;
}

function control({ control: found }: TargetFacts, migration: Migration): Finding[] {
  const others = found.migrations.filter(({ id }) => id !== migration.id);
  if (found.state === 'foreign' || found.state === 'hidden') {
    return [
      error(
        'control-schema',
        found.state === 'foreign'
          ? 'the target has a schema "walferry" that walferry did not make'
          : 'the target has a schema "walferry" that the role may not read',
        'Rename or drop that schema, or let the target service use the role that made it.',
      ),
    ];
  }
  return others.map(({ workflowId }) =>
    error(
      'leftover-control',
      `the target holds the state of another migration, workflow "${workflowId}", in schema "walferry"`,
      `If that run has ended, remove what it left: ${cleanupCommand(migration, workflowId)}`,
    ),
  );
}

const MEGABYTE = 1024 * 1024;

function describe({ name, active, retainedBytes, database }: SlotFacts): string {
  const megabytes = Math.round(retainedBytes / MEGABYTE);
  return `${name} (database ${database ?? 'none'}, ${active ? 'in use' : 'not in use'}, holds ${megabytes} MB of WAL)`;
}
