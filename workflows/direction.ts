/**
 * How texts name the databases of a cutover. On the way back its source is the new database and its target the old one, and whoever
 * reads an answer at night must not open or shut down the wrong one: so there they have their names.
 */
import { FAILURES, type FailureCode } from '../contract/failure-catalogue.ts';
import { inReverse } from '../contract/reversed.ts';
import type { Migration } from '../contract/migration.ts';
import type { State } from './state/state.ts';

/** What is needed to know it. */
export interface Directed {
  /** The application is on the target. */
  readonly isBack: boolean;
  readonly migration: Migration;
}

export interface Direction {
  /** Where the application writes until the switch, within a sentence. */
  readonly from: string;
  /** Where it writes from then on. */
  readonly to: string;
  /** What the operator has called. */
  readonly what: 'cutover' | 'switch back';
  /** The update's name. */
  readonly call: 'cutover' | 'switchback';
}

export function directionOf({ isBack, migration }: Directed): Direction {
  if (!isBack) return { from: 'the source', to: 'the target', what: 'cutover', call: 'cutover' };
  const { source, target } = migration;
  return { from: `"${target}"`, to: `"${source}"`, what: 'switch back', call: 'switchback' };
}

/** At the beginning of a sentence. */
export function capital(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}

const OR_FINALIZE =
  'The application on the new database is not affected; finalize ends the way back.';

/** Where the usual advice is about a copy, or about the wrong database: nothing is copied back. */
const ON_WAY_BACK: Partial<Record<FailureCode, string>> = {
  SchemaDrift: `Run the DDL that the message names on the old database, too, then resume. ${OR_FINALIZE}`,
  UnknownRelation: `Create a new partition on the old database, too, then resume. Any other new table ends the way back, because nothing is copied back: drop it and resume, or call finalize. The application on the new database is not affected.`,
  ChangeFailed: `Look up the key in walferry.stopped_change on the old database, let the old database accept the change (its constraints and types) or change the row on the new one, then resume. ${OR_FINALIZE}`,
  RowMissing: `Something else wrote to the old database: look up the key in walferry.stopped_change there, \`set walferry.apply = on\`, restore the row, then resume. ${OR_FINALIZE}`,
};

/** What the operator can do about a failure of this direction. */
export function actionOf(run: Pick<Directed, 'isBack'>, code: FailureCode): string {
  const { action } = FAILURES[code];
  return run.isBack ? (ON_WAY_BACK[code] ?? inReverse(action)) : action;
}

/** The answer of a cutover, or a rehearsal, that the operator cancelled. @param where it was. */
export function cancelledText(
  run: Directed & { readonly state: State },
  where: string,
  what: string,
): string {
  const { confirmedLsn, unreported, triggersEnabled } = run.state;
  const { to, call } = directionOf(run);
  const triggers = triggersEnabled
    ? `triggers that were enabled on ${to} are disabled again before the next change`
    : `no trigger was enabled on ${to}`;
  const position = `${confirmedLsn}${unreported ? ' or later' : ''}`;
  return `${what} cancelled by the operator ${where}: the slot is kept, the stream is paused at ${position}, and ${triggers}. resume continues streaming; a later ${call} starts over`;
}
