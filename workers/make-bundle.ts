/** A child process that creates the workflow bundle and ends, which frees the memory that bundling takes. */
import { makeBundle } from './bundle.ts';

await makeBundle();
