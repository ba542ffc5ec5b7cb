/**
 * Sends folded rows to the target: a whole batch in one flight of statements, including the start of the transaction. As in
 * net-effect-writer.ts, each statement's row count is checked. A flight that the target refuses is rolled back, and the batch is applied
 * change by change, where an error points to one change.
 */
import type pg from 'pg';
import { Flight } from '../session/flight.ts';
import { FlightFailed } from '../session/flight-query.ts';
import { Kept } from '../session/kept-statement.ts';
import type { Settings } from '../connection/apply-settings.ts';
import type { PlannedRelation } from './change.ts';
import { failPoint } from './failpoint.ts';
import { RowStatements } from './row-statements.ts';
import type { TableRows } from './table-rows.ts';
import type { TargetTable } from './target-table.ts';

/** The folded rows of one table in a batch. */
export interface FoldedTable {
  readonly relation: PlannedRelation;
  readonly rows: TableRows;
  /** The rows could not be applied this way: the table is applied change by change, for a while or permanently. */
  readonly refuse: (forGood: boolean) => void;
  /** The rows are no longer read. */
  readonly release: () => void;
}

/** Tables whose expressions are evaluated under the same settings. */
export interface FoldedGroup {
  readonly settings: Settings;
  readonly tables: readonly (FoldedTable & { readonly statements: RowStatements })[];
}

/** A statement that runs along with the rows, and the number of rows that it must return or affect; null: any. */
export interface Question {
  readonly sql: string;
  readonly values?: readonly (string | null)[];
  readonly rows: number | null;
}

/** The outcome of a flight. */
export type Flown =
  /** `answered`: whether the question after the rows had the expected answer; also false when there was none. */
  | { readonly outcome: 'applied'; readonly answered: boolean }
  /** This statement of the opening failed, or hit an unexpected number of rows. */
  | { readonly outcome: 'not begun'; readonly opening: number; readonly error: unknown }
  /** The rows of this table were refused; `error` is null when a statement hit an unexpected number of rows. */
  | { readonly outcome: 'refused'; readonly table: FoldedTable; readonly error: unknown };

/**
 * Rows are found by key, with plans that are made once and cached. A sequential scan, chosen while the table was small, would be
 * repeated with every batch. Parallel plans are off too: a disabled scan only gets a very high cost, and without an index the
 * planner then starts workers, even for a catalog of 140 rows (5 of a batch's 6 ms).
 */
export const PLANS_BY_KEY = {
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  max_parallel_workers_per_gather: '0',
};

const SET_CONFIG = /* sql */ `
  select pg_catalog.set_config(key, value, true) from pg_catalog.json_each_text($1::pg_catalog.json)`;

/** The rows of a batch as statements, ready to be sent. */
interface Written {
  readonly groups: readonly FoldedGroup[];
  readonly flight: Flight;
  /** By statement: the rows that it must hit (null: any number), and the table. */
  readonly rows: readonly (number | null)[];
  readonly tables: readonly (FoldedTable | null)[];
}

export class FoldedFlights {
  readonly #client: pg.Client;
  readonly #kept = new Kept();
  /** The statements before and after the rows. */
  readonly #frame = new Flight(this.#kept);
  /** Two, so that one can be filled while the other is in flight. */
  readonly #flights: readonly [Flight, Flight] = [new Flight(this.#kept), new Flight(this.#kept)];
  #sending: Flight | null = null;
  #ahead: { readonly tables: readonly FoldedTable[]; readonly written: Written } | null = null;
  readonly #statements = new Map<PlannedRelation, RowStatements | null>();
  readonly #rendered = new Map<Settings | null, string>();

  constructor(client: pg.Client) {
    this.#client = client;
  }

  /**
   * The statements for each table, grouped by settings.
   * @param described the target tables, in the same order.
   * @param unfit called for a table that cannot be applied this way, and whether it never can.
   */
  group(
    tables: readonly FoldedTable[],
    described: readonly TargetTable[],
    settingsOf: (table: TargetTable) => Settings,
    unfit: (table: FoldedTable, never: boolean) => void,
  ): FoldedGroup[] | null {
    const groups = new Map<Settings, (FoldedTable & { statements: RowStatements })[]>();
    let fits = true;
    for (const [at, one] of tables.entries()) {
      const table = described[at];
      if (table === undefined) throw new RangeError('a table was not described');
      let statements = this.#statements.get(one.relation);
      if (statements === undefined) {
        statements = RowStatements.of(table, one.rows.layout);
        this.#statements.set(one.relation, statements);
      }
      if (statements?.fits(one.rows) !== true) {
        unfit(one, statements === null);
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

  /** Serializes the next batch while the previous one is in flight, so that the target need not wait for it. */
  writeAhead(tables: readonly FoldedTable[], groups: readonly FoldedGroup[]): void {
    this.#discard();
    this.#ahead = { tables, written: this.#write(groups, true) };
  }

  /** The groups, when these tables were written ahead; otherwise null. */
  groupsAhead(tables: readonly FoldedTable[]): readonly FoldedGroup[] | null {
    return this.#ahead?.tables === tables ? this.#ahead.written.groups : null;
  }

  /**
   * Sends everything and waits for the answers.
   * @param groups without customized settings: those may need a privilege that must be checked first.
   * @param set whether to apply the groups' settings.
   * @param question sent after the rows.
   * @throws the connection's errors.
   */
  async fly(
    opening: readonly Question[],
    groups: readonly FoldedGroup[],
    set: boolean,
    question: Question | null,
  ): Promise<Flown> {
    const written = this.#take(groups, set);
    const { flight } = written;
    const frame = this.#frame;
    // An internal error between two flights may have left part of one.
    frame.clear();
    for (const { sql, values = [] } of opening) frame.run(sql, ...values);
    frame.join(flight);
    if (question !== null) frame.run(question.sql, ...(question.values ?? []));
    // The question's answer never refuses rows: the caller decides what an unexpected one means.
    const expected = [...opening.map(({ rows }) => rows), ...written.rows];
    const asked = expected.length;
    const tables = [...opening.map(() => null), ...written.tables];
    this.#sending = flight;
    try {
      const answered = frame.send(this.#client);
      failPoint('rows-sent');
      const counts = await answered;
      const wrong = expected.findIndex((rows, at) => rows !== null && rows !== counts[at]);
      if (wrong >= 0) return outcomeAt(wrong, tables, null);
      return { outcome: 'applied', answered: question !== null && counts[asked] === question.rows };
    } catch (error) {
      // Rows written ahead may rely on statements that this flight was to parse.
      this.#discard();
      if (!(error instanceof FlightFailed)) throw error;
      return outcomeAt(error.statement, tables, error.cause);
    } finally {
      this.#sending = null;
    }
  }

  /** Writes the rows as statements, into the flight that is not being sent. */
  #write(groups: readonly FoldedGroup[], set: boolean): Written {
    const [one, other] = this.#flights;
    const flight = this.#sending === one ? other : one;
    flight.clear();
    const rows: (number | null)[] = [];
    const tables: (FoldedTable | null)[] = [];
    for (const { settings, tables: some } of groups) {
      flight.run(SET_CONFIG, this.#render(set ? settings : null));
      rows.push(null);
      tables.push(null);
      for (const table of some) {
        table.statements.add(flight, table.rows, (expected) => {
          rows.push(expected);
          tables.push(table);
        });
      }
    }
    return { groups, flight, rows, tables };
  }

  #take(groups: readonly FoldedGroup[], set: boolean): Written {
    const ahead = this.#ahead;
    if (ahead?.written.groups !== groups || !set) {
      this.#discard();
      return this.#write(groups, set);
    }
    this.#ahead = null;
    return ahead.written;
  }

  #discard(): void {
    this.#ahead?.written.flight.clear();
    this.#ahead = null;
  }

  #render(settings: Settings | null): string {
    let text = this.#rendered.get(settings);
    if (text === undefined) {
      text = JSON.stringify({ ...Object.fromEntries(settings ?? []), ...PLANS_BY_KEY });
      this.#rendered.set(settings, text);
    }
    return text;
  }

  /** Sends the statement followed by COMMIT, which only runs if the statement succeeds. @throws FlightFailed. */
  async commit(sql: string, values: readonly (string | null)[]): Promise<void> {
    this.#frame.run(sql, ...values);
    this.#frame.run('commit');
    const answered = this.#frame.send(this.#client);
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
