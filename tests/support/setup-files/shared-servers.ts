/** Projects `pg` and `workflow`: every test file uses the servers that the global set-up started. */
import { inject } from 'vitest';
import { enter } from './environment.ts';

enter(inject('testRun'));
