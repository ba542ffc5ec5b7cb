/**
 * Folded rows on their way to the target: everything of a batch in one flight of statements, the transaction's beginning included.
 * The rows that each statement hits are counted, as sets.ts counts them. A flight that the target refuses is undone, and the batch is
 * applied change by change, where a fault has a place.
 */
import type pg from 'pg';
import { Flight, FlightFailed, Kept } from '../connection/flight.ts';
import type { Settings } from '../connection/defaults.ts';
import type { PlannedRelation } from './change.ts';
import { failPoint } from './failpoint.ts';
import { RowStatements } from './row-statements.ts';
import type { TableRows } from './table-rows.ts';
import type { TargetTable } from './table.ts';

/** The folded rows of one table in a batch. */
export interface FoldedTable {
  readonly relation: PlannedRelation;
  readonly rows: TableRows;
  /** The rows could not be applied like this: the table takes the exact way for a while, or for good. */
  readonly refuse: (forGood: boolean) => void;
  /** Nothing reads the rows any more. */
  readonly release: () => void;
}

/** Tables that are computed under the same settings. */
export interface FoldedGroup {
  readonly settings: Settings;
  readonly tables: readonly (FoldedTable & { readonly statements: RowStatements })[];
}

/** A statement that runs beside the rows, and the rows that it has to answer with; null: any number. */
export interface Question {
  readonly sql: string;
  readonly values?: readonly (string | null)[];
  readonly rows: number | null;
}

/** What became of a flight. */
export type Flown =
  /** `answered`: whether the question behind the rows was answered as it should; false also when there was none. */
  | { readonly outcome: 'applied'; readonly answered: boolean }
  /** The opening's statement at this place failed, or answered with another number of rows. */
  | { readonly outcome: 'not begun'; readonly opening: number; readonly error: unknown }
  /** The rows of this table were refused; `error` is null when a statement hit another number of rows. */
  | { readonly outcome: 'refused'; readonly table: FoldedTable; readonly error: unknown };

/**
 * Rows are found by their keys, with plans that are made once and kept. One that reads the whole table, because it was small when the
 * plan was made, would read it again with every batch. Parallel plans are off, too: a disabled scan is only made very expensive, and where
 * there is no index the planner then starts workers, even for a catalog of 140 rows (5 of a batch's 6 ms).
 */
export const PLANS_BY_KEY = {
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  max_parallel_workers_per_gather: '0',
};

const SET_CONFIG = /* sql */ `
  select pg_catalog.set_config(key, value, true) from pg_catalog.json_each_text($1::pg_catalog.json)`;

export class FoldedFlights {
  readonly #client: pg.Client;
  readonly #flight = new Flight(new Kept());
  readonly #statements = new Map<PlannedRelation, RowStatements | null>();
  readonly #rendered = new Map<Settings | null, string>();

  constructor(client: pg.Client) {
    this.#client = client;
  }

  /**
   * The statements for each table, in groups.
   * @returns null when one of them cannot go like this; it was told so.
   */
  async group(
    tables: readonly FoldedTable[],
    describe: (relation: PlannedRelation) => Promise<TargetTable>,
    settingsOf: (table: TargetTable) => Settings,
  ): Promise<FoldedGroup[] | null> {
    const groups = new Map<Settings, (FoldedTable & { statements: RowStatements })[]>();
    let fits = true;
    for (const one of tables) {
      const table = await describe(one.relation);
      let statements = this.#statements.get(one.relation);
      if (statements === undefined) {
        statements = RowStatements.of(table, one.rows.layout);
        this.#statements.set(one.relation, statements);
      }
      if (statements?.fits(one.rows) !== true) {
        one.refuse(statements === null);
        fits = false;
        continue;
      }
      const settings = settingsOf(table);
      const group = groups.get(settings);
      if (group) group.push({ ...one, statements });
      else groups.set(settings, [{ ...one, statements }]);
    }
    return fits ? [...groups].map(([settings, some]) => ({ settings, tables: some })) : null;
  }

  /**
   * Sends everything and waits for the answers.
   * @param groups whose settings have no customized names: those need a right that has to be asked for.
   * @param set whether the groups' settings are to be set.
   * @param question asked behind the rows.
   * @throws the connection's errors.
   */
  async fly(
    opening: readonly Question[],
    groups: readonly FoldedGroup[],
    set: boolean,
    question: Question | null,
  ): Promise<Flown> {
    const flight = this.#flight;
    // By statement: the rows that it has to hit, and the table.
    const expected: (number | null)[] = [];
    const tables: (FoldedTable | null)[] = [];
    const note = (rows: number | null, table: FoldedTable | null): void => {
      expected.push(rows);
      tables.push(table);
    };
    // An error of our own between two flights may have left a part of one.
    flight.clear();
    for (const { sql, values = [], rows } of opening) {
      flight.run(sql, ...values);
      note(rows, null);
    }
    for (const { settings, tables: some } of groups) {
      flight.run(SET_CONFIG, this.#render(set ? settings : null));
      note(null, null);
      for (const table of some) {
        table.statements.add(flight, table.rows, (rows) => note(rows, table));
      }
    }
    // Its answer is no reason to refuse rows: what comes of another one is up to the caller.
    const asked = expected.length;
    if (question !== null) {
      flight.run(question.sql, ...(question.values ?? []));
      note(null, null);
    }
    try {
      const answered = flight.send(this.#client);
      failPoint('rows-sent');
      const counts = await answered;
      const wrong = expected.findIndex((rows, at) => rows !== null && rows !== counts[at]);
      if (wrong >= 0) return outcomeAt(wrong, tables, null);
      return { outcome: 'applied', answered: question !== null && counts[asked] === question.rows };
    } catch (error) {
      if (!(error instanceof FlightFailed)) throw error;
      return outcomeAt(error.statement, tables, error.cause);
    }
  }

  #render(settings: Settings | null): string {
    let text = this.#rendered.get(settings);
    if (text === undefined) {
      text = JSON.stringify({ ...Object.fromEntries(settings ?? []), ...PLANS_BY_KEY });
      this.#rendered.set(settings, text);
    }
    return text;
  }

  /** Sends the statement and a COMMIT behind it, which is run only if that one does not fail. @throws FlightFailed. */
  async commit(sql: string, values: readonly (string | null)[]): Promise<void> {
    this.#flight.run(sql, ...values);
    this.#flight.run('commit');
    const answered = this.#flight.send(this.#client);
    failPoint('commit-sent');
    await answered;
  }
}

function outcomeAt(at: number, tables: readonly (FoldedTable | null)[], error: unknown): Flown {
  const table = tables[at] ?? null;
  return table === null
    ? { outcome: 'not begun', opening: at, error }
    : { outcome: 'refused', table, error };
}
