/** Finding the Temporal CLI: on the PATH and new enough, or in the user's cache folder from an earlier set-up. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

/** The version that set-up fetches or builds. */
export const TEMPORAL_VERSION = '1.8.2';
/** The oldest version that is used from the PATH; the tests run against {@link TEMPORAL_VERSION}. */
const OLDEST_TEMPORAL = [1, 8] as const;

/** The Temporal CLI that is used. */
export interface TemporalProgram {
  readonly program: string;
  readonly version: string;
}

/** Folder for what set-up downloads or builds, shared between clones. */
export function cacheFolder(): string {
  const base = process.env['XDG_CACHE_HOME'];
  // The XDG specification says that a relative path must be ignored.
  const usable = base !== undefined && path.isAbsolute(base);
  return path.join(usable ? base : path.join(homedir(), '.cache'), 'walferry');
}

/** Where set-up puts the Temporal CLI, by version. */
export function cachedTemporal(): string {
  return path.join(cacheFolder(), 'temporal', TEMPORAL_VERSION, 'temporal');
}

/** A usable Temporal CLI, if there is one. */
export function findTemporal(): TemporalProgram | undefined {
  const onPath = (process.env['PATH'] ?? '')
    .split(path.delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => path.join(folder, 'temporal'));
  for (const program of [...onPath, cachedTemporal()]) {
    const version = versionOf(program);
    if (version !== undefined && isNewEnough(version)) return { program, version };
  }
  return undefined;
}

/** The version that the program reports; undefined when it is missing or does not run here. */
export function versionOf(program: string): string | undefined {
  if (!existsSync(program)) return undefined;
  const outcome = spawnSync(program, ['--version'], { encoding: 'utf8', timeout: 20_000 });
  return outcome.status === 0 ? /\d+\.\d+\.\d+/.exec(outcome.stdout)?.[0] : undefined;
}

function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_TEMPORAL;
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
}
