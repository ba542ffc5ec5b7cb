/** The prepared statements that a session keeps between flights. */

/** Prepared statements that a session keeps: each holds a plan on the server. Others are parsed every time. */
const MOST_KEPT = 2_000;

/** What the server has of a statement: parsed, nothing, or unknown after a failed flight. */
export type ParseState = 'parsed' | 'new' | 'unsure';

export interface KeptStatement {
  readonly name: string;
  state: ParseState;
}

/** The prepared statements of a session, by text. */
export class Kept {
  readonly #statements = new Map<string, KeptStatement>();

  /** @returns null when there are too many statements to keep this one. */
  of(sql: string): KeptStatement | null {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    if (this.#statements.size >= MOST_KEPT) return null;
    const name = `walferry_f${this.#statements.size + 1}`;
    const statement: KeptStatement = { name, state: 'new' };
    this.#statements.set(sql, statement);
    return statement;
  }
}
