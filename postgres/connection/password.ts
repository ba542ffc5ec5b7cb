/**
 * Reads the password file (`PGPASSFILE`, `~/.pgpass`) as libpq does. The driver's reader supports neither the setting `passfile`
 * nor libpq's rule for sockets and addresses: a login could then work in psql and not here.
 */
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { homeFolder } from './home.ts';
import type { Endpoint } from './service.ts';

export interface Login {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/** The name for the default socket folders in the password file. */
const LOCAL = 'localhost';
const SOCKET_FOLDERS = ['/var/run/postgresql', '/tmp'];

/** The password of a service: its setting, else the first matching entry of the password file; null: none. */
export function passwordOf(endpoint: Endpoint, env: NodeJS.ProcessEnv): string | null {
  const { settings, host, port, database, user } = endpoint;
  if (settings.password !== undefined && settings.password !== '') return settings.password;
  const text = passwordFile(settings.passfile, env);
  const name = SOCKET_FOLDERS.includes(host) ? LOCAL : host;
  return text === null ? null : findPassword(text, { host: name, port, database, user });
}

export function findPassword(text: string, login: Login): string | null {
  const wanted = [login.host, String(login.port), login.database, login.user];
  for (const raw of text.split('\n')) {
    const line = raw.replace(/\r$/, '');
    if (line === '' || line.startsWith('#')) continue;
    const fields = split(line);
    const password = fields[wanted.length];
    if (password === undefined) continue;
    const fits = wanted.every((value, i) => {
      const field = fields[i];
      return field !== undefined && (field.raw === '*' || field.value === value);
    });
    if (fits) return password.value === '' ? null : password.value;
  }
  return null;
}

interface Field {
  /** As written in the file: only a bare `*` is a wildcard, an escaped one is a literal star. */
  readonly raw: string;
  readonly value: string;
}

/** Fields end at a colon; a backslash escapes the next character. */
function split(line: string): Field[] {
  const fields: Field[] = [];
  let [start, value] = [0, ''];
  for (let at = 0; at <= line.length; at++) {
    if (at === line.length || line[at] === ':') {
      fields.push({ raw: line.slice(start, at), value });
      [start, value] = [at + 1, ''];
    } else {
      if (line[at] === '\\' && at + 1 < line.length) at++;
      value += line[at] ?? '';
    }
  }
  return fields;
}

const ACCESS_OF_OTHERS = 0o077;

/** The file's text; null when it is missing or accessible to others (libpq ignores such a file too). */
function passwordFile(named: string | undefined, env: NodeJS.ProcessEnv): string | null {
  const file = named === undefined || named === '' ? path.join(homeFolder(env), '.pgpass') : named;
  try {
    const found = statSync(file);
    if ((found.mode & ACCESS_OF_OTHERS) !== 0 || !found.isFile()) return null;
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
