import type { TestProject } from 'vitest/node';
import { startRun } from '../servers.ts';

/** Project `pg`: a source and a target cluster. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { run, stop } = await startRun('pg', { temporal: false });
  project.provide('testRun', run);
  return stop;
}
