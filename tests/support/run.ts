/** What one test run knows about its servers; plain data that the global set-up hands to every test process. */
import { inject } from 'vitest';
import type { PostgresSpec } from '../../scripts/cluster/postgres.ts';
import type { TemporalSpec } from '../../scripts/cluster/temporal.ts';

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
  /** Only in project e2e. */
  readonly temporal: TemporalSpec | null;
  readonly temporalAddress: string | null;
}

declare module 'vitest' {
  interface ProvidedContext {
    testRun: TestRun;
  }
}

/** The present run. Only in projects with a global set-up. */
export function testRun(): TestRun {
  return inject('testRun');
}
