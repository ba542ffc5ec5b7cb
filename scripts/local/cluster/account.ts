/**
 * The account that runs the PostgreSQL servers. PostgreSQL refuses to run as root, so root runs them as the user
 * `postgres` (which every package creates); for any other user they run as that user.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync } from 'node:fs';

/** Ids to run a server with; both are absent when it runs as the current user. */
export interface Account {
  readonly uid?: number;
  readonly gid?: number;
}

const SERVER_USER = 'postgres';

/**
 * The account of the servers.
 * @throws Error when the caller is root and there is no user `postgres`.
 */
export function serverAccount(): Account {
  if (process.getuid?.() !== 0) return {};
  try {
    return { uid: idOf('-u'), gid: idOf('-g') };
  } catch {
    throw new Error(
      `PostgreSQL does not run as root, and there is no user "${SERVER_USER}" to run it: ` +
        `create it (useradd --system ${SERVER_USER}) or run this as an ordinary user`,
    );
  }
}

/** True when the account may enter every folder down to this one. Tested by the system, because ACLs count too. */
export function mayEnter(folder: string, account: Account): boolean {
  const outcome = spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', folder], {
    ...account,
    cwd: '/',
    stdio: 'ignore',
  });
  return outcome.status === 0;
}

/** Creates a folder (if it is missing) that belongs to the account and is closed to others. */
export function makeFolderFor(folder: string, account: Account): void {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o700);
  give(folder, account);
}

/** Gives a file or folder to the account. */
export function give(file: string, account: Account): void {
  if (account.uid !== undefined && account.gid !== undefined) {
    chownSync(file, account.uid, account.gid);
  }
}

function idOf(flag: '-u' | '-g'): number {
  const id = Number(execFileSync('id', [flag, SERVER_USER], { encoding: 'utf8', stdio: 'pipe' }));
  if (!Number.isInteger(id) || id === 0) throw new Error(`no usable id of ${SERVER_USER}`);
  return id;
}
