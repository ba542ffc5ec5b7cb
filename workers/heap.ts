/**
 * Keeps the worker small; imported before everything else.
 *
 * A stream makes garbage as fast as it can, and V8 by itself lets the heap grow to several times what is alive before it
 * looks: with 20,000 small rows a batch 600 MiB were resident, of which 90 were alive. These are wishes, not limits: what is
 * alive (a value of 100 MB, for one) still gets its memory.
 */
import { setFlagsFromString } from 'node:v8';

/** The old generation is collected when it has grown by this share, percent. */
const GROWTH_PERCENT = 20;
/** Half of the young generation of every thread that begins later (workflow code runs in one), MiB. */
const YOUNG_MIB = 2;

setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
setFlagsFromString(`--max-semi-space-size=${YOUNG_MIB}`);
