/**
 * What the tests know about the servers of their run; plain data, so that a global set-up can pass it to test
 * processes.
 */
import type { PostgresSpec } from '../../scripts/local/cluster/postgres-spec.ts';
import type { TemporalSpec } from '../../scripts/local/cluster/temporal-server.ts';

export interface TestRun {
  /** Throw-away folder of this run; user postgres may enter it. */
  readonly folder: string;
  readonly source: PostgresSpec;
  readonly target: PostgresSpec;
  readonly sourcePort: number;
  readonly targetPort: number;
  /** The file behind PGSERVICEFILE; tests append services to it. */
  readonly serviceFile: string;
  readonly passFile: string;
  /** Folders to search before the PATH. */
  readonly programs: readonly string[];
  /** Only in projects `e2e` and `workflow`. */
  readonly temporal: TemporalSpec | null;
  readonly temporalAddress: string | null;
}

declare module 'vitest' {
  interface ProvidedContext {
    testRun: TestRun;
  }
}

let present: TestRun | undefined;

/** Called by the project's set-up file, before any test. */
export function beginRun(run: TestRun): void {
  present = run;
}

/** The present run. Only in projects whose tests have servers. */
export function testRun(): TestRun {
  if (!present) throw new Error('this test project has no servers');
  return present;
}
