/**
 * Checks before the slot is dropped that no table on the target is unlogged. The stream checks it at the start of every lease.
 */
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { renderDifferences } from '../catalog/column-difference.ts';
import { readRelations } from '../catalog/read-relations.ts';
import { destinationsOf } from '../catalog/row-destination.ts';
import { nameOf } from '../catalog/table-name.ts';
import { readUnlogged, requireLogged, UNLOGGED_ON_TARGET } from '../catalog/unlogged.ts';
import { classify } from '../connection/failure.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { whileWatched } from '../session/liveness.ts';

/** @throws MigrationError `SchemaDrift` naming the tables; `signal.reason` when aborted. */
export async function refuseUnlogged(
  migration: Migration,
  input: MigrationInput,
  signal: AbortSignal,
  beat: Work['beat'] = () => undefined,
): Promise<void> {
  try {
    await using source = await connectSource(migration, 'cutover', { signal });
    await using target = await connectTarget(migration, 'cutover', { signal });
    const [first, ...others] = await whileWatched(
      [source, target],
      { beat },
      () => ({ step: 'checking for unlogged tables' }),
      async () => {
        const relations = await readRelations(source, input.tables, 'estimated');
        const wanted = requireLogged(destinationsOf(relations), relations, input.ignore);
        return readUnlogged(target, wanted);
      },
    );
    if (!first) return;
    const found = [first, ...others].map(({ schema, name }) => ({
      ...{ schema, table: name, column: null },
      what: UNLOGGED_ON_TARGET,
    }));
    throw new MigrationError('SchemaDrift', renderDifferences(found), { table: nameOf(first) });
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'checking for unlogged tables' }, 'Internal');
  }
}
