import type { TestProject } from 'vitest/node';
import { startRun } from '../servers.ts';

/** Project `workflow`: a Temporal server; its databases are simulated, so the two clusters idle. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { run, stop } = await startRun('workflow', { temporal: true });
  project.provide('testRun', run);
  return stop;
}
