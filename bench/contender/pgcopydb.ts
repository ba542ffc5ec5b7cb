/** pgcopydb, when it is on the PATH. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import path from 'node:path';
import { testRun } from '../../tests/support/run.ts';
import { STREAMS } from '../rig/settings.ts';
import type { Rig } from '../rig/rig.ts';

/** Its version, e.g. `0.17`; undefined when it is not there. */
export function pgcopydbVersion(): string | undefined {
  const outcome = spawnSync('pgcopydb', ['--version'], { encoding: 'utf8' });
  return outcome.status === 0 ? /\d+\.\d+/.exec(outcome.stdout + outcome.stderr)?.[0] : undefined;
}

/** `pgcopydb clone` with as many jobs as the others have streams, large tables split. @returns seconds. */
export async function pgcopydbClone(rig: Rig, source: string, target: string): Promise<number> {
  const folder = mkdtempSync(path.join(testRun().folder, 'pgcopydb-'));
  const began = performance.now();
  await rig.source.shell(
    `pgcopydb clone --dir "${folder}" --table-jobs ${STREAMS} --index-jobs ${STREAMS} ` +
      `--split-tables-larger-than 64MB --no-owner --no-acl`,
    {
      ...rig.source.environment(source),
      PATH: process.env['PATH'],
      PGCOPYDB_SOURCE_PGURI: rig.source.conninfo(source),
      PGCOPYDB_TARGET_PGURI: rig.target.conninfo(target),
    },
  );
  return (performance.now() - began) / 1000;
}
