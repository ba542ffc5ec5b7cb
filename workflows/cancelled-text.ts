/** The answer of a cutover, or a rehearsal, that the operator cancelled. */
import type { State } from './state/state.ts';

export function cancelledText(
  what: 'cutover' | 'rehearsal',
  where: string,
  { confirmedLsn, unreported, triggersEnabled }: State,
): string {
  const triggers = triggersEnabled
    ? 'triggers that were enabled on the target are disabled again before the next change'
    : 'no trigger was enabled on the target';
  const position = `${confirmedLsn}${unreported ? ' or later' : ''}`;
  return `${what} cancelled by the operator ${where}: the slot is kept, the stream is paused at ${position}, and ${triggers}. resume continues streaming; a later cutover starts over`;
}
