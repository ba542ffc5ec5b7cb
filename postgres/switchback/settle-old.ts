/** The old database at the end of a way back from which no one returned: it is given back to its writers, or stays closed. */
import type { OldDatabase, OldDatabaseReport } from '../../contract/finalize.ts';
import { MigrationError } from '../../contract/failure.ts';
import { MOST_NAMED } from '../../contract/fence.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { FENCE_SCHEMA } from '../catalog/own-object.ts';
import { classify } from '../connection/failure.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { fenceNames } from '../fence/fence-name.ts';
import { readGates } from '../fence/gate.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { readSwitched } from '../store/outcome.ts';

/**
 * Idempotent. Only a person decides that: the application is on the new database, and what is written on the old one from now on stays
 * there.
 * @param wanted `sealed` changes nothing.
 * @throws MigrationError `FenceRefused` unless the migration has switched: then the old database is not ours to open.
 */
export async function settleOld(
  migration: Migration,
  fence: Fence,
  wanted: OldDatabase,
  work: Work,
): Promise<OldDatabaseReport> {
  const { signal } = work;
  try {
    await requireSwitched(migration, signal);
    await using source = await connectSource(migration, 'cleanup', { signal });
    if (wanted === 'sealed') {
      return {
        left: [],
        statement: fence.kind === 'trigger' ? await opening(source, migration) : null,
      };
    }
    const gate = await fence.gate(source, migration);
    if (gate?.cutover != null) await fence.open(source, migration, gate.cutover);
    const { left } = await fence.remove(source, migration, work);
    return { left: left.slice(0, MOST_NAMED), statement: null };
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'settling the old database', side: 'source' }, 'Internal');
  }
}

async function requireSwitched(migration: Migration, signal: AbortSignal): Promise<void> {
  await using target = await connectTarget(migration, 'cleanup', { signal });
  if ((await readSwitched(target, migration)) !== null) return;
  throw new MigrationError(
    'FenceRefused',
    `"${migration.target}" has no record that this migration has switched: "${migration.source}" stays as it is`,
    { side: 'source' },
  );
}

/**
 * The statement that removes the fence with its triggers. When no other migration has a gate there, everything of ours goes with it;
 * otherwise the schema stays for the others.
 */
async function opening(source: Session, migration: Migration): Promise<string> {
  const others = (await readGates(source)).filter(({ id }) => id !== migration.id);
  return others.length === 0
    ? `drop schema ${FENCE_SCHEMA} cascade`
    : `drop function ${fenceNames(migration).functionSql}() cascade`;
}
