/** Where this code lies: a checkout, which runs TypeScript, or an installed package, which runs `dist/`. */
import { homedir } from 'node:os';
import path from 'node:path';

const CODE = path.resolve(import.meta.dirname, '../..');
const INSTALLED = import.meta.filename.endsWith('.js');

/** The folder of package.json. */
export const PACKAGE = INSTALLED ? path.dirname(CODE) : CODE;

/** The command as a person types it here. */
export const WALFERRY = INSTALLED ? 'walferry' : 'npx walferry';

/** The words that run walferry as one process, with the flag for workers that a shebang line would give it. */
export const WALFERRY_WORDS = [
  ...[process.execPath, '--max-semi-space-size=4'],
  path.join(PACKAGE, 'scripts/walferry.mjs'),
] as const;

/**
 * The folder of the local servers: in the checkout, where each has its own, or one per user. Not below an installed package:
 * an update would remove the databases, and users may not write there.
 */
export const LOCAL = INSTALLED ? path.join(stateFolder(), 'walferry') : path.join(CODE, '.local');

/** As the XDG specification says; a relative path must be ignored. */
function stateFolder(): string {
  const base = process.env['XDG_STATE_HOME'];
  return base !== undefined && path.isAbsolute(base) ? base : path.join(homedir(), '.local/state');
}
