/**
 * The operating system's packages: Debian and its relatives, as root or with sudo that needs no password. On other
 * systems set-up says what to install by hand.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { OLDEST_POSTGRES } from '../cluster/settings.ts';
import { installedPostgres } from './postgres-programs.ts';

const INSTALL = path.join(import.meta.dirname, 'install-packages.sh');

/** True when packages can be installed here without a question. */
export function canInstallPackages(): boolean {
  return runs('apt-get', ['--version']) && (isRoot() || runs('sudo', ['-n', 'true']));
}

/** Updates the package lists; a package source that does not answer is ignored. */
export function updatePackageList(): void {
  asRoot('apt-get', ['update', '-q']);
}

/** Installs packages without touching any running service; their output goes to standard error. */
export function installPackages(packages: readonly string[]): boolean {
  return asRoot('sh', [INSTALL, ...packages]);
}

/**
 * The packages that make a usable PostgreSQL: wal2json for the installed one, otherwise the newest server for which
 * both are offered. Undefined when there are none.
 */
export function postgresPackages(): string[] | undefined {
  const offered = new Set(
    spawnSync('apt-cache', ['pkgnames', 'postgresql-'], { encoding: 'utf8' }).stdout?.split('\n'),
  );
  const there = installedPostgres().find(({ folder, major }) => {
    const plugin = `postgresql-${major}-wal2json`;
    return folder.startsWith('/usr/lib/postgresql/') && offered.has(plugin);
  });
  if (there) return [`postgresql-${there.major}-wal2json`];
  const majors = [...offered]
    .map((name) => Number(/^postgresql-(\d+)-wal2json$/.exec(name)?.[1]))
    .filter((major) => major >= OLDEST_POSTGRES && offered.has(`postgresql-${major}`))
    .sort((one, other) => other - one);
  const [newest] = majors;
  if (newest === undefined) return undefined;
  return [`postgresql-${newest}`, `postgresql-client-${newest}`, `postgresql-${newest}-wal2json`];
}

/** True when the program exists and exits with 0. */
export function runs(program: string, words: readonly string[]): boolean {
  return spawnSync(program, words, { stdio: 'ignore' }).status === 0;
}

function asRoot(program: string, words: readonly string[]): boolean {
  const [command, ...rest] = isRoot() ? [program, ...words] : ['sudo', '-n', program, ...words];
  if (command === undefined) return false;
  // Nothing on standard input: a package that asks gets no answer and uses its default.
  return spawnSync(command, rest, { stdio: ['ignore', 2, 2] }).status === 0;
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
