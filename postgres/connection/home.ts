/** Where libpq looks for a user's own files. */
import { homedir, userInfo } from 'node:os';
import path from 'node:path';

/** The home folder: HOME first, as libpq does, otherwise what the system has for the user. */
export function homeFolder(env: NodeJS.ProcessEnv): string {
  const home = env['HOME'];
  return home === undefined || home === '' ? homedir() : home;
}

/** `~/.postgresql/NAME`: libpq's default for certificates and keys. */
export function userFile(env: NodeJS.ProcessEnv, name: string): string {
  return path.join(homeFolder(env), '.postgresql', name);
}

/** Name of the operating system's user: libpq's default role. */
export function systemUser(): string {
  return userInfo().username;
}
