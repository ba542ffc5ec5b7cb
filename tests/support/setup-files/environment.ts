/** The environment that `. .local/env` gives a person, for the servers of one run. */
import path from 'node:path';
import { beginRun } from '../run.ts';
import type { TestRun } from '../run.ts';

/** Makes `run` the run of this test process, and points its environment at the run's servers. */
export function enter(run: TestRun): void {
  beginRun(run);
  process.env['PGSERVICEFILE'] = run.serviceFile;
  process.env['PGPASSFILE'] = run.passFile;
  process.env['PATH'] = [...run.programs, process.env['PATH'] ?? ''].join(path.delimiter);
  // A developer's own settings must not affect the tests.
  for (const name of ['PGPASSWORD', 'PGHOST', 'PGPORT', 'PGUSER', 'PGDATABASE', 'PGSERVICE']) {
    delete process.env[name];
  }
  if (run.temporalAddress !== null) {
    process.env['TEMPORAL_ADDRESS'] = run.temporalAddress;
    process.env['TEMPORAL_NAMESPACE'] = 'default';
  }
}
