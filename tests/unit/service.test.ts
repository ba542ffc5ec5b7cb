import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { MigrationError } from '../../contract/failure.ts';
import { findPassword } from '../../postgres/connection/password.ts';
import { parseSection, serviceFiles } from '../../postgres/connection/service-file.ts';
import { endpointOf, readService } from '../../postgres/connection/service.ts';

const base = mkdtempSync(path.join(tmpdir(), 'walferry-service-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const SECRET = 'marker-7d1f';

/** An environment with its own service file, and nothing of the developer's. */
function environment(text: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const folder = mkdtempSync(path.join(base, 'home-'));
  const file = path.join(folder, 'services.conf');
  writeFileSync(file, text);
  return { HOME: folder, PGSYSCONFDIR: folder, PGSERVICEFILE: file, PATH: '', ...more };
}

function refusalOf(body: () => unknown): MigrationError {
  try {
    body();
  } catch (error) {
    if (error instanceof MigrationError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('a service file is read as libpq reads it', () => {
  it('takes the first section of a name, and in it the first of two equal keys', () => {
    const env = environment('[a]\nhost=one\nhost=two\nport=1\n[b]\nhost=b\n[a]\nhost=three\n');
    expect(readService('a', env)).toEqual({ host: 'one', port: '1' });
  });

  it('ignores comments, empty lines and white space around a line, but none around the equals sign', () => {
    const lines = parseSection('#x\n[a]\r\n\t host= h \n\n # no\nuser=a#b\r\n', 'a', 'f');
    expect(lines).toEqual([
      { key: 'host', value: ' h', line: 3 },
      { key: 'user', value: 'a#b', line: 6 },
    ]);
  });

  it('ignores other sections, whatever they contain', () => {
    const env = environment('[other]\nnonsense\nldap=?\n[a]\nhost=h\n');
    expect(readService('a', env)).toEqual({ host: 'h' });
  });

  it.each([
    ['an unknown key', '[a]\nhost=h\nhots=x\n', /line 3 of .*services\.conf: "hots"/],
    ['a space before the equals sign', '[a]\nhost =h\n', /line 2 .*"host "/],
    ['a nested service', '[a]\nservice=b\n', /line 2 .*"service"/],
    ['a line without an equals sign', `[a]\n${SECRET}\n`, /line 2 of .* has no "="/],
    ['a setting that it cannot honour', '[a]\ngssencmode=require\n', /"gssencmode" is supported/],
    ['a line that libpq cannot read', `[a]\noptions=${'x'.repeat(2000)}\n`, /line 2 .* longer/],
  ])('refuses %s, naming file, line and key', (_what, text, message) => {
    const error = refusalOf(() => readService('a', environment(text)));
    expect(error.code).toBe('InvalidService');
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain(SECRET);
  });

  it('ignores settings that change neither the server nor the safety', () => {
    const env = environment('[a]\nkeepalives_idle=5\ntarget_session_attrs=any\nhost=h\n');
    expect(readService('a', env)).toEqual({ host: 'h' });
  });

  it("looks into the user's file first, then into the system's, and takes one section whole", () => {
    const folder = mkdtempSync(path.join(base, 'home-'));
    const env = { HOME: folder, PGSYSCONFDIR: path.join(folder), PATH: '' };
    writeFileSync(path.join(folder, '.pg_service.conf'), '[a]\nhost=mine\n');
    writeFileSync(path.join(folder, 'pg_service.conf'), '[a]\nport=1\n[b]\nhost=ours\n');
    expect(readService('a', env)).toEqual({ host: 'mine' });
    expect(readService('b', env)).toEqual({ host: 'ours' });
    expect(serviceFiles(env)).toEqual([
      path.join(folder, '.pg_service.conf'),
      path.join(folder, 'pg_service.conf'),
    ]);
  });

  it('names an unknown service and where it was looked for', () => {
    const env = environment('[a]\n');
    const error = refusalOf(() => readService('nowhere', env));
    expect(error.code).toBe('UnknownService');
    // Workers, tail, writer and cleanup report it: none of them in another's name.
    expect(error.message).toMatch(/^no PostgreSQL service is called "nowhere"; looked in /);
    for (const file of serviceFiles(env)) expect(error.message).toContain(file);
  });

  it('says so when PGSERVICEFILE names a file that is not there', () => {
    const error = refusalOf(() => readService('a', { PGSERVICEFILE: '/nowhere/x', PATH: '' }));
    expect(error.code).toBe('UnknownService');
    expect(error.message).toContain('/nowhere/x');
  });
});

describe('an endpoint', () => {
  it('has environment variables below the service, and defaults below both', () => {
    const env = environment('[a]\nhost=h\nport=\n', {
      PGHOST: 'other',
      PGUSER: 'u',
      PGSSLMODE: 'disable',
    });
    expect(endpointOf('a', env)).toMatchObject({
      host: 'h',
      port: 5432,
      user: 'u',
      database: 'u',
      sslmode: 'disable',
    });
  });

  it.each([
    ['[a]\nport=0\n', /"port" must be a whole number from 1 to 65535/],
    ['[a]\nport=54x\n', /"port"/],
    ['[a]\nhost=a,b\n', /"host" lists several servers/],
    ['[a]\nsslmode=on\n', /"sslmode" must be one of disable, allow/],
    ['[a]\nsslrootcert=system\nsslmode=require\n', /verify-full/],
    ['[a]\nconnect_timeout=soon\n', /"connect_timeout"/],
  ])('%j is refused with the key and what is allowed', (text, message) => {
    const error = refusalOf(() => endpointOf('a', environment(text)));
    expect(error.code).toBe('InvalidService');
    expect(error.message).toMatch(message);
  });

  it('refuses an environment that psql would obey and walferry cannot', () => {
    const env = environment('[a]\nhost=h\n', { PGTARGETSESSIONATTRS: 'read-write' });
    expect(refusalOf(() => endpointOf('a', env)).message).toContain('PGTARGETSESSIONATTRS');
  });

  it("verifies the host name when the system's certificates are trusted", () => {
    const env = environment('[a]\nhost=h\nsslrootcert=system\n');
    expect(endpointOf('a', env).sslmode).toBe('verify-full');
  });
});

describe('a password file is read as libpq reads it', () => {
  const login = { host: 'db', port: 5432, database: 'app', user: 'u' };

  it.each([
    ['the first entry that fits', 'x:*:*:*:no\n*:*:*:u:one\ndb:5432:app:u:two\n', 'one'],
    ['escaped colons and backslashes', 'db:5432:app:u:a\\:b\\\\c\n', 'a:b\\c'],
    ['no comment', '#*:*:*:*:no\n*:*:*:*:yes\n', 'yes'],
    ['no entry for another port', 'db:5433:app:u:no\n', null],
    ['an escaped star as a star', 'db:5432:\\*:u:no\n', null],
    ['what stands before a further colon', 'db:5432:app:u:one:two\n', 'one'],
    ['no half entry', 'db:5432:app\n', null],
    ['lines that end like those of Windows', '*:*:*:*:one\r\n', 'one'],
  ])('accepts %s', (_what, text, password) => {
    expect(findPassword(text, login)).toBe(password);
  });
});
