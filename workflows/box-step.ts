/** One step within the box of a cutover. */
import type { Execution } from './execution.ts';
import { throwIfStopped } from './failure.ts';

/** By its name in `progress`. A step that was cancelled may end in any way. */
export async function inBox<T>(run: Execution, step: string, work: () => Promise<T>): Promise<T> {
  run.tell({ type: 'stepBegun', step });
  const result = await work();
  throwIfStopped();
  return result;
}
