/** Creates the workflow bundle and ends, which frees the memory that bundling takes: for a build, and for a worker of a checkout. */
import { hasBundle, makeBundle } from './bundle.ts';

if (!process.argv.includes('--if-missing') || !hasBundle()) await makeBundle();
