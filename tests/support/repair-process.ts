/**
 * A repair in its own process, for a test that freezes it: `node --import tsx repair-process.ts STEP RUN SERVICES` (JSON). Prints the
 * report or the failure's code.
 */
import { MigrationError } from '../../contract/failure.ts';
import { repairRows, type RepairStep } from '../../postgres/verification/row-repair.ts';
import { statesOf } from './held-states.ts';
import { beginRun, type TestRun } from './run.ts';

const [step = '', run = '', services = ''] = process.argv.slice(2);
beginRun(JSON.parse(run) as TestRun);
const [source, target] = JSON.parse(services) as [string, string];
const log = { info: () => undefined, warn: () => undefined };
const work = { signal: new AbortController().signal, beat: () => undefined, log };
const said = await repairRows(
  JSON.parse(step) as RepairStep,
  work,
  statesOf({ source, target }),
).then(
  (report) => JSON.stringify(report),
  (error: unknown) => (error instanceof MigrationError ? error.code : String(error)),
);
process.stdout.write(`${said}\n`);
