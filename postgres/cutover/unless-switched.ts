/** For steps that undo parts of a cutover: they find out within their own transaction whether the target is the live database. */
import { MigrationError } from '../../contract/failure.ts';

/**
 * Runs a step that refuses to work on a live target.
 * @returns `otherwise` when it refused with `AlreadySwitched`.
 */
export async function unlessSwitched<T>(otherwise: T, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof MigrationError && error.code === 'AlreadySwitched') return otherwise;
    throw error;
  }
}
