import { execFileSync } from 'node:child_process';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { buildPrograms } from '../built.ts';

const MAKE_BUNDLE = path.resolve(import.meta.dirname, '../../../workers/make-bundle.ts');

/** What worker processes are started from: once for all files of a project. */
export default async function setup(project: TestProject): Promise<void> {
  project.provide('builtPrograms', await buildPrograms());
  // Otherwise the first workers of several files make it at the same time.
  execFileSync(process.execPath, ['--import', 'tsx', MAKE_BUNDLE, '--if-missing'], {
    stdio: 'pipe',
  });
}
