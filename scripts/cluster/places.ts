/** Where a checkout keeps its servers and their settings. */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { mayEnter, serverAccount } from './account.ts';

/** The checkout that contains this code. */
export const CHECKOUT = path.resolve(import.meta.dirname, '../..');

export interface Places {
  /** `.local` of the checkout: the files that a person sources or reads. */
  readonly local: string;
  /** Databases, logs and process records. The same as `local` unless the server's account cannot enter it. */
  readonly data: string;
}

/**
 * The places of a checkout; creates both folders.
 * @throws Error when the folder outside of the checkout belongs to another user.
 */
export function placesOf(checkout: string = CHECKOUT): Places {
  const local = path.join(checkout, '.local');
  mkdirSync(local, { recursive: true });
  if (mayEnter(local, serverAccount())) return { local, data: local };
  // Root's checkout below a closed folder, such as root's home: user postgres needs access to the data.
  const name = createHash('sha256').update(checkout).digest('hex').slice(0, 12);
  const data = path.join('/var/tmp', `walferry-${name}`);
  mkdirSync(data, { recursive: true, mode: 0o711 });
  // Any user may create folders in /var/tmp, and the owner of this one could replace its contents.
  if (statSync(data).uid !== process.getuid?.()) throw new Error(`${data} belongs to another user`);
  chmodSync(data, 0o711);
  return { local, data };
}
