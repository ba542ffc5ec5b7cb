/** The notes of `progress`: warnings, and problems of work that continues, from everything that has some. Pure. */
import { keptNotes } from './kept.ts';
import type { Reason } from './state/reason.ts';
import { listNotes } from './state/notes.ts';
import type { State } from './state/state.ts';
import { verificationNotes } from './verification-text.ts';

const POSITION_NOTE =
  'the stream has stopped, but its position is not known yet; the position shown is that of the last checkpoint';

const LIMITS_NOTE =
  'new limits are not in force yet: they could not be written into the control schema on the target';

/** @param unsure why the position of a paused stream is not known; null: it is. */
export function progressNotes(state: State, unsure: Pick<Reason, 'message'> | null): string[] {
  const { notes, verification, dropped, wayBack, unstored } = state;
  return [
    ...listNotes(notes),
    ...(verification ? verificationNotes(verification) : []),
    ...(dropped === undefined ? [] : [dropped]),
    ...(wayBack?.note == null ? [] : [wayBack.note]),
    ...keptNotes(state),
    ...(unsure === null ? [] : [`${POSITION_NOTE}: ${unsure.message}`]),
    ...(unstored === null ? [] : [`${LIMITS_NOTE}: ${unstored.message}`]),
  ];
}
