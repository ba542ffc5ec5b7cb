/**
 * Project `e2e`: a source, a target and a Temporal server for this one test file. Its tests kill and restart them,
 * and two files run in parallel.
 */
import { afterAll } from 'vitest';
import { startRun } from '../servers.ts';
import { enter } from './environment.ts';

const { run, stop } = await startRun('e2e', { temporal: true });
enter(run);
afterAll(stop);
