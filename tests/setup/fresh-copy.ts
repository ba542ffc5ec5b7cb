/**
 * A fresh copy of this checkout in a folder whose name contains a space and a quote, used by an ordinary user: root
 * runs it as Debian's unprivileged user, any other user as himself. What an ordinary user must install before
 * (PostgreSQL, the Temporal CLI) is on the PATH.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { give } from '../../scripts/local/cluster/account.ts';
import type { Account } from '../../scripts/local/cluster/account.ts';
import { findPostgres } from '../../scripts/local/setup/postgres-programs.ts';
import { findTemporal } from '../../scripts/local/setup/temporal-program.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
/** Unprivileged user and group (uid 65534) of Debian and its relatives. */
const UNPRIVILEGED = 65534;
export const isRoot = process.getuid?.() === 0;

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class FreshCopy implements Disposable {
  readonly folder: string;
  readonly #base: string;
  /** Who uses the copy. */
  readonly account: Account;

  constructor() {
    this.#base = mkdtempSync(path.join(tmpdir(), 'walferry-copy-'));
    chmodSync(this.#base, 0o755);
    this.folder = path.join(this.#base, "it's a copy");
    this.account = isRoot ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {};
    for (const file of trackedFiles()) {
      mkdirSync(path.dirname(path.join(this.folder, file)), { recursive: true });
      cpSync(path.join(ROOT, file), path.join(this.folder, file));
    }
    for (const name of ['.local', '../home', '../bin']) {
      mkdirSync(path.join(this.folder, name), { recursive: true });
      give(path.join(this.folder, name), this.account);
    }
    const temporal = findTemporal();
    const postgres = findPostgres();
    if (!temporal || !postgres) throw new Error('npm run setup has to run before');
    // Root's cache folder is closed to others.
    copyFileSync(temporal.program, path.join(this.#base, 'bin/temporal'));
    chmodSync(path.join(this.#base, 'bin/temporal'), 0o755);
  }

  /** Installs the node packages as the present user, with that user's download cache. */
  installPackages(): Outcome {
    const words = ['ci', '--include=dev', '--no-audit', '--no-fund', '--prefer-offline'];
    return outcome('npm', words, { cwd: this.folder });
  }

  /** `node scripts/walferry.mjs …` as the ordinary user. */
  run(...words: string[]): Outcome {
    return outcome(process.execPath, ['scripts/walferry.mjs', ...words], this.#options());
  }

  /** The same, where no Temporal CLI is installed. */
  withoutTemporal(...words: string[]): Outcome {
    const options = this.#options();
    const env = { ...options.env, PATH: '/usr/bin:/bin' };
    return outcome(process.execPath, ['scripts/walferry.mjs', ...words], { ...options, env });
  }

  /** The same, in the background. */
  start(...words: string[]): ChildProcess {
    return this.#spawn(process.execPath, ['scripts/walferry.mjs', ...words]);
  }

  /** The same as a person types it, with npm and its shell in between. */
  startByNpm(name: string): ChildProcess {
    return this.#spawn('npm', ['run', '--silent', name]);
  }

  /** A shell command after `. .local/env`, as the README's commands are typed. */
  shell(command: string): Outcome {
    return outcome('/bin/sh', ['-c', `. .local/env && ${command}`], this.#options());
  }

  [Symbol.dispose](): void {
    this.run('cluster', 'wipe');
    rmSync(this.#base, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  #spawn(program: string, words: readonly string[]): ChildProcess {
    return spawn(program, words, { ...this.#options(), stdio: ['ignore', 'pipe', 'inherit'] });
  }

  #options() {
    return {
      ...this.account,
      cwd: this.folder,
      env: {
        PATH: [path.join(this.#base, 'bin'), process.env['PATH'] ?? ''].join(path.delimiter),
        HOME: path.join(this.#base, 'home'),
        TMPDIR: path.join(this.#base, 'home'),
      },
    };
  }
}

function outcome(
  program: string,
  words: readonly string[],
  options: { cwd: string; uid?: number; gid?: number; env?: NodeJS.ProcessEnv },
): Outcome {
  const { status, stdout, stderr } = spawnSync(program, words, { ...options, encoding: 'utf8' });
  return { code: status, stdout, stderr };
}

/**
 * What a clone of the present state would contain: tracked files, and new ones that are not ignored.
 */
function trackedFiles(): string[] {
  const words = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'];
  const deleted = new Set(list(['ls-files', '-z', '--deleted']));
  return list(words).filter((file) => !deleted.has(file));
}

function list(words: readonly string[]): string[] {
  const text = execFileSync('git', words, { cwd: ROOT, encoding: 'utf8' });
  return text.split('\0').filter((file) => file !== '');
}
