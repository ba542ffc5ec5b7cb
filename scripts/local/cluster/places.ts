/** Where the local servers and their settings are kept. */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { LOCAL } from '../package.ts';
import { mayEnter, serverAccount } from './account.ts';

export interface Places {
  /** The files that a person sources or reads. */
  readonly local: string;
  /** Databases, logs and process records. The same as `local` unless the server's account cannot enter it. */
  readonly data: string;
}

/**
 * The places of a folder for local servers; creates both.
 * @throws Error when the folder outside of it belongs to another user.
 */
export function placesOf(local: string = LOCAL): Places {
  mkdirSync(local, { recursive: true });
  if (mayEnter(local, serverAccount())) return { local, data: local };
  // Below a closed folder, such as root's home: user postgres needs access to the data.
  const name = createHash('sha256').update(local).digest('hex').slice(0, 12);
  const data = path.join('/var/tmp', `walferry-${name}`);
  mkdirSync(data, { recursive: true, mode: 0o711 });
  // Any user may create folders in /var/tmp, and the owner of this one could replace its contents.
  if (statSync(data).uid !== process.getuid?.()) throw new Error(`${data} belongs to another user`);
  chmodSync(data, 0o711);
  return { local, data };
}
