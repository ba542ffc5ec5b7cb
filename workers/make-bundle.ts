/** Creates the workflow bundle and ends, which frees the memory that bundling takes: for a build, and for a worker of a checkout. */
import { makeBundle } from './bundle.ts';

await makeBundle();
