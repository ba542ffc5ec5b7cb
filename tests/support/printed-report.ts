/** `walferry report`, as an operator runs it. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect } from 'vitest';
import type { Report } from '../../scripts/report/report-model.ts';
import { testRun } from './run.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** What it prints; the passwords of the servers are never in it. */
export function printed(id: string, format: 'md' | 'json' | 'html'): string {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['scripts/walferry.mjs', 'report', id, '--format', format],
    // No database can be found: the report must not need one.
    { cwd: ROOT, encoding: 'utf8', env: { ...process.env, PGSERVICEFILE: '/nonexistent' } },
  );
  expect(status, stderr).toBe(0);
  const { source, target } = testRun();
  for (const secret of [source.password, target.password]) expect(stdout).not.toContain(secret);
  return stdout;
}

export const reportOf = (id: string): Report => JSON.parse(printed(id, 'json')) as Report;
