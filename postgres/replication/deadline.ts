/** Waiting with a deadline. */
import { MigrationError } from '../../contract/failure.ts';

/** The promise's result, or `Unreachable` after `ms`. The promise itself continues; a late failure of it is ignored. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new MigrationError('Unreachable', `no answer within ${ms / 1000} s`)),
      ms,
    );
  });
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
