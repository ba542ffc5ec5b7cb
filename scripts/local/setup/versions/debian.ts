/**
 * PostgreSQL with wal2json and pgvector from the packages of Debian 13, unpacked on Debian 12. apt resolves and
 * verifies them, with separate folders instead of the system's, so that no privilege is needed and the system does not
 * change. They are built for a newer C library than the system's: each program becomes a script that starts it with the
 * loader and libraries of its release.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { lstatSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { run } from './output.ts';

const RELEASE = 'trixie';
/** Contains the keys of the next release too. */
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** Packages whose names begin like this are unpacked; the others (perl, installation tools) are never used. */
const NEEDED = /^(lib|zlib1g|postgresql-\d|postgresql-client-\d)/;

/** Unpacks server, wal2json, pgvector and client programs of a major version below `folder`. */
export function unpackDebian(folder: string, major: number): void {
  const apt = path.join(folder, 'apt');
  for (const name of ['lists/partial', 'archives/partial']) {
    mkdirSync(path.join(apt, name), { recursive: true });
  }
  writeFileSync(path.join(apt, 'status'), '');
  writeFileSync(path.join(apt, 'sources.list'), sourcesOfNextRelease());
  const options = {
    'Dir::State': apt,
    'Dir::State::status': path.join(apt, 'status'),
    'Dir::State::lists': path.join(apt, 'lists'),
    'Dir::Cache': apt,
    'Dir::Cache::archives': path.join(apt, 'archives'),
    'Dir::Etc::sourcelist': path.join(apt, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::parts': '/dev/null',
    'Dir::Etc::main': '/dev/null',
    'APT::Install-Recommends': 'false',
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
    'Acquire::http::Timeout': '20',
    'Acquire::Retries': '2',
    'Debug::NoLocking': 'true',
  };
  const words = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  run('apt-get', [...words, '-q', 'update']);
  const packages = [`postgresql-${major}`, `postgresql-client-${major}`];
  // With an empty list of installed packages apt also downloads the C library.
  run('apt-get', [
    ...[...words, '-q', '-y', '--download-only', 'install', ...packages],
    ...[`postgresql-${major}-wal2json`, `postgresql-${major}-pgvector`],
  ]);
  const archives = path.join(apt, 'archives');
  for (const name of readdirSync(archives)) {
    if (name.endsWith('.deb') && NEEDED.test(name)) {
      run('dpkg-deb', ['-x', path.join(archives, name), folder]);
    }
  }
  rmSync(apt, { recursive: true, force: true });
  wrapPrograms(path.join(folder, 'usr/lib/postgresql', String(major), 'bin'));
}

/** The machine's own mirrors, for the next release. */
function sourcesOfNextRelease(): string {
  const codename = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  if (codename === undefined || !existsSync(KEYRING)) throw new Error('only on Debian 12');
  const format = '$(REPO_URI) $(RELEASE)';
  const targets = run('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  const lines = new Set<string>();
  for (const target of targets.split('\n')) {
    const [address = '', suite = ''] = target.split(' ');
    // Only Debian's own archive and its security updates.
    if (suite !== codename && suite !== `${codename}-security`) continue;
    if (!/\/debian(-security)?\/?$/.test(address)) continue;
    const next = suite.replace(codename, RELEASE);
    lines.add(`deb [signed-by=${KEYRING}] ${address} ${next} main`);
  }
  if (lines.size === 0) throw new Error('apt knows no mirror of Debian here');
  return [...lines].join('\n') + '\n';
}

function wrapPrograms(programs: string): void {
  for (const name of readdirSync(programs)) {
    const program = path.join(programs, name);
    if (lstatSync(program).isSymbolicLink()) continue;
    renameSync(program, `${program}.real`);
    writeFileSync(program, WRAPPER);
    chmodSync(program, 0o755);
  }
}

/** `--argv0`: PostgreSQL finds its libraries and its other programs from the name that it was called by. */
const WRAPPER = `#!/bin/sh
root=\${0%/usr/lib/postgresql/*}
for loader in "$root"/usr/lib/*-linux-gnu/ld-linux-*.so.*; do
  exec "$loader" --argv0 "$0" --library-path "\${loader%/*}" "$0.real" "$@"
done
`;
