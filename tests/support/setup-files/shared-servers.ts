/** Project `pg`: every test file uses the two clusters that the global set-up started. */
import { inject } from 'vitest';
import { enter } from './environment.ts';

enter(inject('testRun'));
