/**
 * Kinds of tests, by what they need: `unit` needs nothing, `replay` recorded histories, `pg` two PostgreSQL servers that all
 * its files share, `workflow` a Temporal server that all its files share, `e2e` and `fidelity` two PostgreSQL servers, a Temporal
 * server and worker processes for each file, `setup` a fresh copy of the checkout. Set-up files start the servers, so `vitest run --project unit` starts none.
 */
import { defineConfig } from 'vitest/config';
import Order from './tests/support/order.ts';

const SECOND = 1000;
/** For tests that start worker processes. */
const BUILT = ['tests/support/setup-files/built-programs.ts'];

/** The real workflow over simulated databases. */
const SIMULATED = 'tests/e2e/workflow-*.test.ts';
/** Files of one process share its modules: to load them once for each of a hundred files takes as long as a dozen of these. */
const ONCE = false;
/** For projects whose files share what a global set-up has started. */
const SHARED = ['tests/support/setup-files/shared-servers.ts'];

/** Only for `npm run prove`, which names one: it takes as long as a person wants. */
const LONG_PROOF =
  process.env['WALFERRY_PROVE'] === undefined
    ? []
    : [
        {
          test: {
            name: 'prove',
            include: ['tests/prove/**/*.test.ts'],
            globalSetup: BUILT,
            setupFiles: ['tests/support/setup-files/own-servers.ts'],
            hookTimeout: 240 * SECOND,
          },
        },
      ];

export default defineConfig({
  test: {
    // Twice the 2 cores of the usual machine: the long tests wait for deadlines more than they compute.
    maxWorkers: 4,
    // All files are in one queue: no project waits for the last file of another one.
    sequence: { sequencer: Order },
    projects: [
      {
        test: {
          name: 'unit',
          isolate: ONCE,
          include: ['tests/unit/**/*.test.ts', 'tests/docs/**/*.test.ts'],
          testTimeout: 60 * SECOND,
        },
      },
      {
        test: {
          name: 'replay',
          include: ['tests/replay/**/*.test.ts'],
          // Bundling the workflow code alone takes several seconds on a busy machine.
          testTimeout: 60 * SECOND,
          hookTimeout: 60 * SECOND,
        },
      },
      {
        test: {
          name: 'pg',
          isolate: ONCE,
          include: ['tests/pg/**/*.test.ts'],
          globalSetup: [...BUILT, 'tests/support/setup-files/shared-postgres.ts'],
          setupFiles: SHARED,
          // Timeouts only end tests that hang: a machine may be five times slower than the one they were set on.
          testTimeout: 120 * SECOND,
          hookTimeout: 120 * SECOND,
        },
      },
      {
        test: {
          name: 'workflow',
          include: [SIMULATED],
          globalSetup: [...BUILT, 'tests/support/setup-files/shared-temporal.ts'],
          setupFiles: SHARED,
          testTimeout: 360 * SECOND,
          hookTimeout: 240 * SECOND,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['tests/e2e/**/*.test.ts'],
          exclude: [SIMULATED],
          globalSetup: BUILT,
          setupFiles: ['tests/support/setup-files/own-servers.ts'],
          testTimeout: 360 * SECOND,
          hookTimeout: 240 * SECOND,
        },
      },
      {
        test: {
          name: 'setup',
          include: ['tests/setup/**/*.test.ts'],
          testTimeout: 120 * SECOND,
          hookTimeout: 120 * SECOND,
        },
      },
      {
        test: {
          name: 'fidelity',
          include: ['tests/fidelity/**/*.test.ts'],
          globalSetup: BUILT,
          setupFiles: ['tests/support/setup-files/own-servers.ts'],
          // All cases go through a few migrations, which one hook runs.
          hookTimeout: 900 * SECOND,
        },
      },
      ...LONG_PROOF,
    ],
  },
});
