/** The update `finalize`: the way back ends, and the operator says what becomes of the old database. */
import { parseFinalize, type OldDatabase } from '../contract/finalize.ts';
import { shellWord } from '../contract/shell-command.ts';
import { cleanup } from './activities.ts';
import type { Execution } from './execution.ts';
import { ending, reasonOf } from './failure.ts';
import { keptHint } from './kept.ts';
import { UNDO } from './options.ts';
import { endWayBack } from './way-back-time.ts';

/** The stream of the way back stops; the common ending removes what is left of it. */
export function finalize(run: Execution, raw: unknown): Promise<string> {
  endWayBack(run, requireFinalize(raw));
  return run.ended.promise;
}

/** @throws ApplicationFailure `Refused` naming what is possible. */
export function requireFinalize(raw: unknown): OldDatabase | undefined {
  const parsed = parseFinalize(raw);
  if (parsed.ok) return parsed.oldDatabase;
  throw ending('Refused', parsed.message);
}

/**
 * Does with the old database what the operator asked for; nothing when nothing was asked. Before the control schemas go: some fences
 * keep there what they have taken. A failure ends nothing: the fence stays as it is, and is named.
 */
export async function settleOld(run: Execution): Promise<void> {
  const { migration, input, state } = run;
  const { oldDatabase } = state.back ?? {};
  if (oldDatabase === undefined || state.stage.at !== 'completing' || run.backEnd.returned) return;
  const { source } = migration;
  try {
    const { left, statement } = await cleanup.settleOld.executeWithOptions(
      {
        ...UNDO,
        activityId: 'settle-old',
        summary: `${oldDatabase === 'open' ? 'open' : 'look at'} the old database`,
      },
      [{ migration, input, oldDatabase }],
    );
    if (oldDatabase === 'open') run.tell({ type: 'oldOpened' });
    run.backEnd.oldDatabase = settledText(source, oldDatabase, left, statement, keptHint(run));
  } catch (error) {
    const reason = reasonOf(error);
    if (!reason) throw error;
    const text = `the fence on "${source}" could not be changed (${reason.message})`;
    run.backEnd.oldDatabase = { text, left: [text] };
  }
}

function settledText(
  source: string,
  wanted: OldDatabase,
  left: readonly string[],
  statement: string | null,
  hint: string,
): { readonly text: string; readonly left: readonly string[] } {
  if (wanted === 'open') {
    const text = `"${source}" takes writes again`;
    return left.length === 0
      ? { text, left: [] }
      : { text, left: [`parts of the open fence are still on "${source}": ${left.join(', ')}`] };
  }
  const how =
    statement === null
      ? 'no single statement opens it'
      : `to open it exactly as it was before: psql service=${shellWord(source)} -c ${shellWord(statement)}`;
  const text = `"${source}" stays closed for writes; ${how}${hint === '' ? '' : `.${hint.replace(/\.$/, '')}`}`;
  return { text, left: [`the fence on "${source}", as asked for with finalize; ${how}`] };
}
