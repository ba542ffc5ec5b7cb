/**
 * One psql session on a service. Only psql, and no code of walferry, talks to the databases here: a bug in the
 * migration's connection, its pinned settings or its decoding cannot hide in the check of its result.
 */
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { OperatorError } from '../operator-error.ts';

/** Text of every value must not depend on defaults of server, database or role. */
const SETTINGS = `
set client_encoding = 'UTF8';
set datestyle = 'ISO, YMD';
set intervalstyle = 'postgres';
set timezone = 'UTC';
set extra_float_digits = 3;
set bytea_output = 'hex';
set lc_monetary = 'C';
set xmloption = 'content';
set array_nulls = on;
set standard_conforming_strings = on;
set quote_all_identifiers = off;
set gin_fuzzy_search_limit = 0;
set exit_on_error = off;
set search_path = pg_catalog;
set row_security = off;
set statement_timeout = 0;
set lock_timeout = '10s';
set idle_in_transaction_session_timeout = 0;
set application_name = 'walferry-compare';
select set_config(name, '0', false) from (values ('transaction_timeout'), ('idle_session_timeout')) limits (name)
 where current_setting(name, true) is not null \\g /dev/null
`;

/** An error of the operator or of a server. */
export class CompareError extends OperatorError {
  override readonly name = 'CompareError';
}

export class Psql implements AsyncDisposable {
  readonly service: string;
  /**
   * Set before a table is read: the planner evaluates functions of its indexes, whose bodies may need the search path
   * of the application's sessions. pg_catalog comes first.
   */
  planningPath = '';
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  readonly #closed: Promise<void>;
  #errors = '';
  #number = 0;

  private constructor(service: string) {
    this.service = service;
    const conninfo = `service='${service.replace(/[\\']/g, '\\$&')}'`;
    this.#process = spawn(
      'psql',
      ['-X', '-q', '-A', '-t', '-w', '-v', 'ON_ERROR_STOP=1', '-d', conninfo],
      { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, PGOPTIONS: '' } },
    );
    this.#closed = new Promise((resolve) => {
      this.#process.once('error', (error) => {
        this.#errors += `psql could not be started (${error.message}); is it on the PATH?`;
        resolve();
      });
      this.#process.once('close', () => resolve());
    });
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    // A psql that ended with an error no longer reads; the query reports the error itself.
    this.#process.stdin.on('error', () => undefined);
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /**
   * A session inside one read-only snapshot: every later query sees the same moment.
   * @throws CompareError for an unknown service or a database that cannot be reached.
   */
  static async open(service: string): Promise<Psql> {
    const session = new Psql(service);
    try {
      const [[path = ''] = []] = await session.rows(
        '',
        `select pg_catalog.current_setting('search_path')`,
      );
      const names = (path.match(/"(?:[^"]|"")*"|[^\s,"]+/g) ?? []).filter(
        (name) => name.replaceAll('"', '') !== 'pg_catalog',
      );
      session.planningPath = `set local search_path = ${names.length === 0 ? 'pg_catalog' : names.join(', ')};`;
      await session.rows(
        `${SETTINGS} begin isolation level repeatable read read only;`,
        'select 1',
      );
      await session.rows('savepoint before_tables;', 'select 1');
    } catch (error) {
      await session[Symbol.asyncDispose]();
      throw error;
    }
    return session;
  }

  /** Releases the locks on everything read so far, which could exhaust the server's lock table. The snapshot stays. */
  async giveBackLocks(): Promise<void> {
    await this.rows('rollback to savepoint before_tables;', 'select 1');
  }

  /** The rows of a SELECT, each value as printed by COPY (null as undefined). `before` runs first and returns nothing. */
  async rows(before: string, select: string): Promise<(string | undefined)[][]> {
    const rows: (string | undefined)[][] = [];
    await this.each(before, select, (row) => rows.push(row));
    return rows;
  }

  /** Like {@link rows}, without storing them. */
  async each(
    before: string,
    select: string,
    take: (row: (string | undefined)[]) => void,
  ): Promise<void> {
    this.#number += 1;
    const end = `--walferry-compare-end-${this.#number}--`;
    // COPY, because its text format is unambiguous: values with tabs and newlines stay in their field.
    this.#process.stdin.write(`${before}\ncopy (${select}) to stdout;\n\\echo ${end}\n`);
    for (;;) {
      const line = await this.#lines.next();
      if (line.done === true) throw await this.#failure();
      if (line.value === end) return;
      take(line.value.split('\t').map(unescape));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.stdin.end();
    this.#process.kill();
    await this.#closed;
  }

  async #failure(): Promise<CompareError> {
    await this.#closed;
    const reason = this.#errors.trim().replace(/^psql: error: |^psql:<stdin>:\d+: /gm, '');
    return new CompareError(
      `service "${this.service}": ${reason || 'psql ended without a message'}`,
    );
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

function unescape(field: string): string | undefined {
  if (field === '\\N') return undefined;
  if (!field.includes('\\')) return field;
  return field.replace(/\\(.)/g, (_, letter: string) => ESCAPES[letter] ?? letter);
}

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteLiteral(text: string): string {
  // E'' is independent of standard_conforming_strings.
  return `E'${text.replace(/[\\']/g, '\\$&')}'`;
}
