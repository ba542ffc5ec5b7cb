/**
 * Keeps the worker small without making it slow; imported before everything else.
 *
 * A stream makes garbage as fast as it can, and V8 by itself lets the heap grow to several times what is alive before it
 * looks: with 20,000 small rows a batch 600 MiB were resident, of which 90 were alive. These are wishes, not limits: what is
 * alive (a value of 100 MB, for one) still gets its memory.
 */
import { setFlagsFromString } from 'node:v8';

/**
 * The old generation is collected when it has grown by this share, percent. What sockets read counts: about 30 MB of it at any time,
 * which the young generation gives back for next to nothing. At 20 % every 8 MB began a collection of everything, which was half of
 * the CPU time of a copy and a third of that of a stream.
 */
const GROWTH_PERCENT = 60;
/** Half of the young generation of every thread that begins later (workflow code runs in one), MiB; YOUNG_FLAG is the main thread's. */
const YOUNG_MIB = 2;

setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
setFlagsFromString(`--max-semi-space-size=${YOUNG_MIB}`);
