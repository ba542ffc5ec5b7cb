/**
 * The source's schema as a pg_dump archive, and what pg_restore reads from it: entries with SQL, and DROP statements.
 * The whole database is dumped: `pg_dump --table` leaves out the schemas, types, functions and extensions that tables
 * need. The selection is applied to the archive's entries afterwards.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MigrationError } from '../../contract/failure.ts';
import type { FailureCode } from '../../contract/failure-catalogue.ts';
import type { Work } from '../../contract/work.ts';
import { clientProgram, connectArgument } from '../connection/program.ts';
import { parseArchive, type ArchiveEntry } from '../archive/archive.ts';
import { ProgramFailed, runProgram, type ProgramRun } from './program-run.ts';

/** pg_dump locks every table. Behind a long ALTER TABLE it would wait, and other sessions behind it. */
const LOCK_WAIT_MS = 20_000;
/** Heartbeat interval while the program runs; several fit into a heartbeat timeout of 10 s. */
const BEAT_MS = 1_000;

/**
 * Dumps the schema of the source, as of `snapshot` (an exported one).
 * @param only options that restrict the dump; none for all of it.
 * @throws MigrationError `Unreachable`, `Denied`, `Contention` or `SchemaFailed`; `signal.reason` when aborted.
 */
export async function dumpSchema(
  service: string,
  snapshot: string,
  work: Pick<Work, 'signal' | 'beat'>,
  only: readonly string[] = [],
): Promise<Buffer> {
  const { path: program } = await clientProgram('pg_dump');
  try {
    return await runBeating(work, 'reading the schema of the source', {
      program,
      args: [
        connectArgument(service),
        '--no-password',
        '--format=custom',
        '--schema-only',
        '--encoding=UTF8',
        '--no-publications',
        '--no-subscriptions',
        '--no-security-labels',
        `--snapshot=${snapshot}`,
        `--lock-wait-timeout=${LOCK_WAIT_MS}`,
        ...only,
      ],
    });
  } catch (error) {
    throw explained(error, 'pg_dump');
  }
}

/** Runs the program and sends heartbeats: with a large schema it prints nothing for many seconds. */
async function runBeating(
  work: Pick<Work, 'signal' | 'beat'>,
  step: string,
  run: Pick<ProgramRun, 'program' | 'args'>,
): Promise<Buffer> {
  const started = performance.now();
  let bytes = 0;
  const report = () =>
    work.beat({ step, bytes, seconds: Math.round((performance.now() - started) / 1000) });
  const timer = setInterval(report, BEAT_MS);
  try {
    return await runProgram({
      ...run,
      signal: work.signal,
      onOutput: (received) => (bytes = received),
    });
  } finally {
    clearInterval(timer);
  }
}

/** Callers recognize the message by this text, and add the required setting, because they know the number of tables. */
export const OUT_OF_LOCKS = "the lock table of the source's server is full (SQLSTATE 53200)";

/** What texts of standard error mean; LC_ALL=C makes them the same on every machine. */
const CAUSES: readonly (readonly [RegExp, FailureCode, string])[] = [
  // pg_dump: error: connection to server at "127.0.0.1", port 5432 failed: Connection refused
  [/connection to server .* failed|server closed the connection/, 'Unreachable', 'no connection'],
  // pg_dump: error: query failed: ERROR:  permission denied for table secrets
  [/permission denied/, 'Denied', 'the role may not read every table (it has to lock them)'],
  // pg_dump: error: aborting because of server version mismatch
  [/server version mismatch/, 'SchemaFailed', "the program is older than the source's server"],
  // pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout
  [/due to lock timeout|deadlock detected/, 'Contention', 'a table of the source stayed locked'],
  // pg_dump: error: query failed: ERROR:  out of shared memory
  [/out of shared memory/, 'SchemaFailed', OUT_OF_LOCKS],
];

function explained(error: unknown, program: string): unknown {
  if (!(error instanceof ProgramFailed)) return error;
  for (const [text, code, reason] of CAUSES) {
    if (text.test(error.stderr)) return new MigrationError(code, `${program}: ${reason}`);
  }
  return new MigrationError(
    'SchemaFailed',
    `${program} ${error.message}; run it by hand with the same service to see why`,
  );
}

/** An archive in a temporary file, readable only by us, for pg_restore. */
export class ArchiveFile implements AsyncDisposable {
  readonly #folder: string;
  readonly #program: string;
  readonly #work: Pick<Work, 'signal' | 'beat'>;

  private constructor(folder: string, program: string, work: Pick<Work, 'signal' | 'beat'>) {
    this.#folder = folder;
    this.#program = program;
    this.#work = work;
  }

  /** Writes the archive into a new folder in the system's temporary folder; removed on disposal. */
  static async create(archive: Buffer, work: Pick<Work, 'signal' | 'beat'>): Promise<ArchiveFile> {
    const { path: program } = await clientProgram('pg_restore');
    const file = new ArchiveFile(await mkdtemp(path.join(tmpdir(), 'walferry-')), program, work);
    await writeFile(path.join(file.#folder, 'archive'), archive, { mode: 0o600 });
    return file;
  }

  /** Every entry with its SQL, in the order to run them. @param owners whether entries set owners. */
  async entries(owners: boolean): Promise<ArchiveEntry[]> {
    // Tablespaces and table access methods belong to a server, not to a schema. Without these two options the script also
    // sets them between entries, where they would be attributed to the wrong one.
    const plain = ['--no-tablespaces', '--no-table-access-method'];
    const [all, pre, post, script] = await Promise.all([
      this.#restore(['--list']),
      this.#restore(['--list', '--section=pre-data']),
      this.#restore(['--list', '--section=post-data']),
      this.#restore(['--verbose', ...plain, ...(owners ? [] : ['--no-owner']), '--file=-']),
    ]);
    return parseArchive({ all, pre, post }, script);
  }

  /** The archive's own DROP statements (each `IF EXISTS`, in reverse order) for these entries and no others. */
  async drops(ids: readonly number[]): Promise<string> {
    const wanted = new Set(ids.map(String));
    const list = (await this.#restore(['--list']))
      .split('\n')
      .filter((line) => wanted.has(line.slice(0, Math.max(0, line.indexOf(';')))));
    const listFile = path.join(this.#folder, 'list');
    await writeFile(listFile, list.join('\n') + '\n', { mode: 0o600 });
    const script = await this.#restore([
      '--clean',
      '--if-exists',
      '--verbose',
      `--use-list=${listFile}`,
      '--file=-',
    ]);
    // The DROP statements are between the settings and the first marked entry.
    const begin = /^SET row_security = off;$/m.exec(script);
    const end = /^--\n-- TOC entry \d+ /m.exec(script);
    if (begin === null || end === null) throw new Error('no drop statements in the script');
    return script.slice(begin.index + begin[0].length, end.index).trim();
  }

  async #restore(args: readonly string[]): Promise<string> {
    try {
      const output = await runBeating(this.#work, 'reading the archive', {
        program: this.#program,
        args: [...args, path.join(this.#folder, 'archive')],
      });
      return output.toString('utf8');
    } catch (error) {
      throw explained(error, 'pg_restore');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}
