/** A process that makes the workflow bundle and ends: what bundling takes is given back with it. */
import { makeBundle } from './bundle.ts';

await makeBundle();
