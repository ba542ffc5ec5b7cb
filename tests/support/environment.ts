/** Set-up file of every test process: the environment that `. .local/env` gives a person, for the servers of this run. */
import path from 'node:path';
import { testRun } from './run.ts';

const run = testRun();
process.env['PGSERVICEFILE'] = run.serviceFile;
process.env['PGPASSFILE'] = run.passFile;
process.env['PATH'] = [...run.programs, process.env['PATH'] ?? ''].join(path.delimiter);
// A developer's own settings must not reach into the tests.
for (const name of ['PGPASSWORD', 'PGHOST', 'PGPORT', 'PGUSER', 'PGDATABASE', 'PGSERVICE']) {
  delete process.env[name];
}
if (run.temporalAddress !== null) {
  process.env['TEMPORAL_ADDRESS'] = run.temporalAddress;
  process.env['TEMPORAL_NAMESPACE'] = 'default';
}
