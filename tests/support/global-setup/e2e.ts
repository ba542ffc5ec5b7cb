import type { TestProject } from 'vitest/node';
import { startRun } from './servers.ts';

/** Project `e2e`: a source and a target cluster and a Temporal server. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { run, stop } = await startRun('e2e', { temporal: true });
  project.provide('testRun', run);
  return stop;
}
