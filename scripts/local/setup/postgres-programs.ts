/** Finding a usable PostgreSQL on this machine: server and client programs of one version, new enough, with wal2json. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { OLDEST_POSTGRES } from '../cluster/settings.ts';

/** One installed PostgreSQL. */
export interface PostgresPrograms {
  /** Folder of `initdb`, `postgres`, `psql`, `pg_dump`, `pg_restore`. */
  readonly folder: string;
  readonly major: number;
  readonly version: string;
  readonly wal2json: boolean;
}

const PROGRAMS = ['initdb', 'postgres', 'psql', 'pg_dump', 'pg_restore'];

/** Where packages install PostgreSQL outside the PATH: Debian, Red Hat, Homebrew on both kinds of Mac. */
const PARENTS: readonly (readonly [string, RegExp])[] = [
  ['/usr/lib/postgresql', /^\d+$/],
  ['/usr', /^pgsql-\d+$/],
  ['/opt/homebrew/opt', /^postgresql(@\d+)?$/],
  ['/usr/local/opt', /^postgresql(@\d+)?$/],
];

/** A complete PostgreSQL for walferry's servers; that of the PATH first, then the newest. */
export function findPostgres(): PostgresPrograms | undefined {
  return installedPostgres().find(({ wal2json }) => wal2json);
}

/** Every installed PostgreSQL that is new enough, with or without wal2json, the best first. */
export function installedPostgres(): PostgresPrograms[] {
  const onPath = (process.env['PATH'] ?? '')
    .split(path.delimiter)
    .filter((folder) => folder !== '' && existsSync(path.join(folder, 'postgres')))
    // A link in /usr/local/bin leads to the folder with all programs of that version.
    .map((folder) => path.dirname(realpathSync(path.join(folder, 'postgres'))));
  const packaged = PARENTS.flatMap(([parent, pattern]) =>
    foldersIn(parent)
      .filter((name) => pattern.test(name))
      .map((name) => path.join(parent, name, 'bin')),
  );
  const first = [...new Set(onPath)].flatMap(inspect);
  const others = [...new Set(packaged)]
    .filter((folder) => !onPath.includes(folder))
    .flatMap(inspect)
    .sort((one, other) => other.major - one.major);
  return [...first, ...others];
}

function inspect(folder: string): PostgresPrograms[] {
  if (!PROGRAMS.every((program) => existsSync(path.join(folder, program)))) return [];
  const version = /\d+(\.\d+)*/.exec(output(path.join(folder, 'postgres'), ['--version']))?.[0];
  const major = Number(version?.split('.')[0]);
  if (version === undefined || !(major >= OLDEST_POSTGRES)) return [];
  const libraries = [
    output(path.join(folder, 'pg_config'), ['--pkglibdir']).trim(),
    path.join(folder, '../lib'),
    path.join(folder, '../lib/postgresql'),
  ];
  const wal2json = libraries.some(
    (library) =>
      library !== '' &&
      ['wal2json.so', 'wal2json.dylib'].some((file) => existsSync(path.join(library, file))),
  );
  return [{ folder, major, version, wal2json }];
}

function output(program: string, words: readonly string[]): string {
  // Too old, broken or missing: in all cases unusable.
  const outcome = spawnSync(program, words, { encoding: 'utf8', timeout: 10_000 });
  return outcome.status === 0 ? outcome.stdout : '';
}

function foldersIn(parent: string): string[] {
  try {
    return readdirSync(parent);
  } catch {
    return [];
  }
}
