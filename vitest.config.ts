/**
 * Four kinds of tests, by what they need: `unit` needs nothing, `replay` needs stored histories, `pg` needs two PostgreSQL
 * servers, `e2e` needs two PostgreSQL servers, a Temporal server and worker processes. The servers are started by the
 * global set-up of the project that needs them, so `vitest run --project unit` starts none.
 */
import { defineConfig } from 'vitest/config';

const SECOND = 1000;

export default defineConfig({
  test: {
    // The machines that run this have 2 cores, and the servers under test want their share of them.
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['tests/unit/**/*.test.ts'],
          testTimeout: 20 * SECOND,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'replay',
          include: ['tests/replay/**/*.test.ts'],
          // Bundling the workflow code alone takes several seconds on a busy machine.
          testTimeout: 60 * SECOND,
          hookTimeout: 60 * SECOND,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'pg',
          include: ['tests/pg/**/*.test.ts'],
          globalSetup: ['tests/support/global-setup/pg.ts'],
          setupFiles: ['tests/support/environment.ts'],
          testTimeout: 60 * SECOND,
          hookTimeout: 60 * SECOND,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['tests/e2e/**/*.test.ts'],
          globalSetup: ['tests/support/global-setup/e2e.ts'],
          setupFiles: ['tests/support/environment.ts'],
          // One after another: these tests kill and restart the servers that they share.
          fileParallelism: false,
          testTimeout: 240 * SECOND,
          hookTimeout: 120 * SECOND,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          name: 'setup',
          include: ['tests/setup/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 120 * SECOND,
          hookTimeout: 120 * SECOND,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
