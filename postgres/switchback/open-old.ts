/** The last step of a switch back: the old database takes writes again. */
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { reverseOf } from '../../contract/reversed.ts';
import type { Work } from '../../contract/work.ts';
import { failPoint } from '../apply/failpoint.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { readOutcome } from '../store/outcome.ts';
import { onWayBack } from './on-way-back.ts';

/**
 * Opens the fence that the cutover to the new database has sealed. The outcome comes first, as in every cutover: the new database is
 * sealed by then, so at no time do both take writes. Idempotent.
 * @param cutover the one that switched back.
 * @throws MigrationError `FenceRefused` unless it has switched: the old database stays sealed.
 */
export async function openOld(
  migration: Migration,
  fence: Fence,
  cutover: string,
  { signal }: Pick<Work, 'signal'>,
): Promise<void> {
  const reverse = reverseOf(migration);
  const open = async (): Promise<void> => {
    await using old = await connectTarget(reverse, 'cutover', { signal });
    const outcome = await readOutcome(old, cutover);
    if (outcome?.what !== 'switched') {
      throw new MigrationError(
        'FenceRefused',
        `cutover ${cutover} has not switched back: "${migration.source}" stays sealed`,
        { side: 'source' },
      );
    }
    // Without the new database, whose loss may be the reason to return: the session before has recognized this server.
    const alone = { aside: true, unregistered: 'any more' } as const;
    await using source = await connectSource(migration, 'cutover', { signal, ...alone });
    await source.takeOver();
    const gate = await fence.gate(source, migration);
    failPoint('before-open-old');
    if (gate?.cutover != null) await fence.open(source, migration, gate.cutover);
    failPoint('after-open-old');
  };
  await onWayBack(reverse, 'opening the old database', open, signal);
}
