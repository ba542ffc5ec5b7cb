/**
 * Reads service files (`pg_service.conf`) as libpq does, so that a name means the same in `psql service=NAME`, in `pg_dump` and
 * here: which files, in which order, and how a line is parsed. setting.ts interprets the settings.
 *
 * libpq's surprising rules: the user's file overrides the system's entirely (settings are not merged); of two sections with one
 * name the first counts, and so does the first of two equal keys; spaces around `=` are not trimmed; `#` starts a comment only at
 * the start of a line; a PGSERVICEFILE that does not exist is an error.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { MigrationError } from '../../contract/failure.ts';
import { homeFolder } from './home.ts';

export interface ServiceLine {
  readonly key: string;
  readonly value: string;
  readonly line: number;
}

export interface ServiceSection {
  readonly file: string;
  readonly lines: readonly ServiceLine[];
}

/** libpq reads lines into a buffer of this size and refuses longer ones. */
const LONGEST_LINE_BYTES = 1023;
const FILE_NAME = 'pg_service.conf';

/** Compiled-in folders of Debian's, Red Hat's and PostgreSQL's packages; used only when pg_config is not available. */
const USUAL_SYSTEM_FOLDERS = [
  '/etc/postgresql-common',
  '/etc/sysconfig/pgsql',
  '/usr/local/pgsql/etc',
];

export function serviceFiles(env: NodeJS.ProcessEnv = process.env): string[] {
  const user = env['PGSERVICEFILE'] ?? path.join(homeFolder(env), '.pg_service.conf');
  return [user, ...systemFolders(env).map((folder) => path.join(folder, FILE_NAME))];
}

/**
 * The section of a service; its keys are not checked here.
 * @throws MigrationError `UnknownService`, naming the searched files; `InvalidService` for a malformed line.
 */
export function findSection(name: string, env: NodeJS.ProcessEnv = process.env): ServiceSection {
  const named = env['PGSERVICEFILE'];
  if (named !== undefined && textOf(named) === null) {
    throw new MigrationError(
      'UnknownService',
      `PostgreSQL service "${name}" cannot be looked up: PGSERVICEFILE names ${named}, which cannot be read`,
      { object: name },
    );
  }
  const files = serviceFiles(env);
  for (const file of files) {
    const text = textOf(file);
    const lines = text === null ? null : parseSection(text, name, file);
    if (lines) return { file, lines };
  }
  throw new MigrationError(
    'UnknownService',
    `no PostgreSQL service is called "${name}"; looked in ${files.join(' and ')}${known(files)}`,
    { object: name },
  );
}

/** The names to choose from, for whoever mistyped one; a file of hundreds is not listed whole. */
function known(files: readonly string[]): string {
  const names = files.flatMap((file) =>
    [...(textOf(file) ?? '').matchAll(/^[ \t]*\[([\w.-]+)\]/gm)].map(([, found]) => found),
  );
  const shown = [...new Set(names)].slice(0, 20);
  return shown.length === 0 ? '' : `, which have ${shown.join(', ')}`;
}

/**
 * The lines of the section `[name]`, or null when there is none. Pure.
 * @throws MigrationError `InvalidService` naming file and line, for a line without `=` or one that is too long.
 */
export function parseSection(text: string, name: string, file: string): ServiceLine[] | null {
  let found: ServiceLine[] | null = null;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = index + 1;
    if (Buffer.byteLength(raw) > LONGEST_LINE_BYTES) {
      throw brokenLine(name, file, line, `is longer than ${LONGEST_LINE_BYTES} bytes`);
    }
    const content = raw.replace(SPACE_AROUND, '');
    if (content === '' || content.startsWith('#')) continue;
    if (content.startsWith('[')) {
      if (found) return found;
      // Like libpq: what follows the bracket is ignored.
      if (content.startsWith(`[${name}]`)) found = [];
    } else if (found) {
      const equals = content.indexOf('=');
      // Never quote the line: it may be a password that lost its key.
      if (equals < 0) throw brokenLine(name, file, line, 'has no "="');
      found.push({ key: content.slice(0, equals), value: content.slice(equals + 1), line });
    }
  }
  return found;
}

/** C's isspace, a subset of what JavaScript trims. */
const SPACE_AROUND = /^[ \t\r\v\f]+|[ \t\r\v\f]+$/g;

function brokenLine(name: string, file: string, line: number, what: string): MigrationError {
  return new MigrationError(
    'InvalidService',
    `service "${name}": line ${line} of ${file} ${what}`,
    { object: name },
  );
}

function textOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function systemFolders(env: NodeJS.ProcessEnv): readonly string[] {
  const set = env['PGSYSCONFDIR'];
  if (set !== undefined) return [set];
  compiledIn ??= askPgConfig(env);
  return compiledIn === '' ? USUAL_SYSTEM_FOLDERS : [compiledIn];
}

/** The folder compiled into this machine's libpq; empty if unknown. Queried once per process. */
let compiledIn: string | undefined;

function askPgConfig(env: NodeJS.ProcessEnv): string {
  try {
    return execFileSync('pg_config', ['--sysconfdir'], {
      env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 5_000,
    }).trim();
  } catch {
    return '';
  }
}
