/**
 * What a cutover reports beside the comparison of definitions, which comes before it: rows that are not in the stream, and check
 * constraints that its last step adds.
 */
import { wordDifference } from '../../contract/definition.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { readRelations } from '../catalog/read-relations.ts';
import { classify } from '../connection/failure.ts';
import { compareChecks } from '../definition/compare-checks.ts';
import { whileWatched } from '../session/liveness.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { unloggedRows } from './unlogged-rows.ts';

type Attempt = Partial<Pick<Work, 'signal' | 'beat'>>;

/** Bounded because the result is stored in Temporal's history. */
const MOST = 50;

/**
 * Of unlogged tables, which were only copied once.
 * @returns at most {@link MOST} sentences without a full stop, and how many more there are.
 * @throws MigrationError `Unreachable`, `Denied`.
 */
export async function unloggedLines(
  migration: Migration,
  input: MigrationInput,
  work: Attempt = {},
): Promise<string[]> {
  return bounded(await readUnlogged(migration, input, work));
}

/** The same for the check constraints that the last step adds: no earlier comparison can see them. */
export async function checkLines(migration: Migration, work: Attempt = {}): Promise<string[]> {
  return bounded(
    (await compareChecks(migration, work))
      .filter(({ notCompared }) => notCompared === undefined)
      .map(wordDifference),
  );
}

function bounded(lines: readonly string[]): string[] {
  if (lines.length <= MOST) return [...lines];
  return [...lines.slice(0, MOST), `and ${lines.length - MOST} more`];
}

async function readUnlogged(
  migration: Migration,
  input: MigrationInput,
  { signal, beat = () => undefined }: Attempt,
): Promise<string[]> {
  const step = 'reading unlogged tables';
  try {
    await using source = await connectSource(migration, 'cutover', { ...(signal && { signal }) });
    await using target = await connectTarget(migration, 'cutover', { ...(signal && { signal }) });
    const progress = { step, unlogged: 0 };
    return await whileWatched(
      [source, target],
      { beat },
      () => ({ ...progress }),
      async () => {
        const relations = await readRelations(source, input.tables, 'estimated');
        return unloggedRows({ source, target }, relations, input, () => {
          progress.unlogged += 1;
        });
      },
    );
  } catch (error) {
    signal?.throwIfAborted();
    throw classify(error, { step }, 'Internal');
  }
}
