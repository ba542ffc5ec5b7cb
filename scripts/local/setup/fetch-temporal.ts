/** The Temporal CLI from its official download, into the user's cache folder. */
import { spawnSync } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TEMPORAL_VERSION, cachedTemporal, versionOf } from './temporal-program.ts';

/** A network that refuses answers at once; one that swallows packets would otherwise delay set-up by minutes. */
const ANSWER_MILLISECONDS = 8_000;
const DOWNLOAD_MILLISECONDS = 10 * 60_000;
/** Go's names for the machines of Node's `process.arch`. */
export const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** The official archive for this machine; undefined where there is none. */
function downloadAddress(): string | undefined {
  const arch = ARCHITECTURES[process.arch];
  if (arch === undefined || !['linux', 'darwin'].includes(process.platform)) return undefined;
  return `https://temporal.download/cli/archive/v${TEMPORAL_VERSION}?platform=${process.platform}&arch=${arch}`;
}

/**
 * Downloads the CLI.
 * @returns why it failed, or undefined when it is installed.
 */
export async function fetchTemporal(): Promise<string | undefined> {
  const address = downloadAddress();
  if (address === undefined) return `no download for ${process.platform} ${process.arch}`;
  const folder = workFolder('fetch');
  try {
    const archive = path.join(folder, 'temporal.tar.gz');
    await download(address, archive);
    const unpacked = spawnSync('tar', ['-xzf', archive, '-C', folder], { encoding: 'utf8' });
    if (unpacked.status !== 0) return `tar: ${unpacked.error?.message ?? unpacked.stderr.trim()}`;
    return keepTemporal(path.join(folder, 'temporal'));
  } catch (error) {
    return error instanceof Error ? describe(error) : String(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A new folder on the same file system as the program's final place, so that moving it there is atomic. */
export function workFolder(purpose: string): string {
  const parent = path.dirname(path.dirname(cachedTemporal()));
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(path.join(parent, `.${purpose}-`));
}

/** Moves a program to its place in the cache if it runs here; returns the problem otherwise. */
export function keepTemporal(program: string): string | undefined {
  const version = versionOf(program);
  if (version !== TEMPORAL_VERSION) return `the program does not run here (says ${version ?? '-'})`;
  mkdirSync(path.dirname(cachedTemporal()), { recursive: true });
  renameSync(program, cachedTemporal());
  return undefined;
}

async function download(address: string, file: string): Promise<void> {
  const abort = new AbortController();
  const unanswered = setTimeout(() => abort.abort(), ANSWER_MILLISECONDS);
  const response = await fetch(address, { signal: abort.signal }).finally(() =>
    clearTimeout(unanswered),
  );
  if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
  const tooLong = setTimeout(() => abort.abort(), DOWNLOAD_MILLISECONDS);
  try {
    await pipeline(Readable.fromWeb(response.body), createWriteStream(file));
  } finally {
    clearTimeout(tooLong);
  }
}

function describe(error: Error): string {
  if (error.name === 'AbortError') return 'no answer';
  const { cause } = error;
  return cause instanceof Error ? `${error.message}: ${cause.message}` : error.message;
}
