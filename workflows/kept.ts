/** What a fence has changed on a database and not given back: for `progress`, the answers, and the result. Pure. */
import { isFenced } from '../contract/cutover.ts';
import { isKept, type FenceChange, type KeptChange } from '../contract/fence-change.ts';
import type { MigrationInput } from '../contract/input-schema.ts';
import type { Migration } from '../contract/migration.ts';
import { NO_COURSE } from '../contract/record.ts';
import { shellWord } from '../contract/shell-command.ts';
import { STAGES } from './state/stage.ts';
import type { State } from './state/state.ts';
import { moment } from './wording.ts';

/** What is needed to know it. */
interface Keeping {
  readonly migration: Migration;
  readonly input: MigrationInput;
  readonly state: State;
}

/** While there is a way back: it gives the old database all of it. */
const OPENS = `finalize --input '{"oldDatabase": "open"}'`;

/** For `progress`; no field when there is nothing. */
export function shownKept(run: Keeping): { readonly fenceChanges?: readonly KeptChange[] } {
  const { migration, state } = run;
  const changes = keptIn(state).map((one): KeptChange => {
    const { side, what, changed: since, undo } = one;
    return {
      ...{ on: migration[side], what, since },
      ...(undo === undefined ? {} : { undo }),
      ...(side === 'source' && isReturnable(state) ? { update: OPENS } : {}),
    };
  });
  const all = [...closedBy(run), ...changes];
  return all.length === 0 ? {} : { fenceChanges: all };
}

/** The fence itself, on the old database. Rights that were revoked are named one by one. */
function closedBy({ migration, input, state }: Keeping): KeptChange[] {
  if (!isReturnable(state) || !isFenced(input) || input.fence === 'roles') return [];
  const what =
    input.fence === 'trigger'
      ? 'writes to the selected tables: the fence (schema walferry_fence) is sealed'
      : 'what the program of WALFERRY_FENCE_CLOSE has closed';
  return [{ on: migration.source, what, update: OPENS }];
}

/** The application is on the new database, and the migration still runs. */
function isReturnable({ back, stage }: State): boolean {
  const { phase } = STAGES[stage.at];
  return back !== undefined && (phase === 'stream' || phase === 'cutover');
}

const keptIn = ({ course = NO_COURSE }: State): FenceChange[] =>
  (course.fenceChanges ?? []).filter(isKept);

/** For the list of what is left behind, each with the SQL that gives it back. */
export function keptTexts({ migration, state }: Omit<Keeping, 'input'>): string[] {
  return keptIn(state).map(({ side, what, changed, undo }) => {
    const on = migration[side];
    const how =
      undo === undefined
        ? ''
        : `; to give it back: psql service=${shellWord(on)} -c ${shellWord(undo)}`;
    return `changed on "${on}" by the fence since ${moment(changed)}: ${what}${how}`;
  });
}

/** For Current Details, which show no list. */
export function keptNotes(state: State): string[] {
  const { length } = keptIn(state).filter(({ side }) => side === 'source');
  if (!isReturnable(state) || length === 0) return [];
  return [
    `the fence has changed rights or settings on the old database (${length}): progress names them under fenceChanges, and finalize with {"oldDatabase": "open"} gives them back`,
  ];
}

/** For an answer, after its last sentence. */
export function keptHint({ state }: Pick<Keeping, 'state'>): string {
  const { length } = keptIn(state);
  return length === 0
    ? ''
    : ' walferry report lists what the fence has changed there and not given back, with the SQL that does.';
}
