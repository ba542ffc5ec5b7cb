/**
 * Keeps the worker small without making it slow; imported before everything else.
 *
 * A stream allocates as fast as it can, and V8's default lets the heap grow to several times its live size before a
 * collection: with batches of 20,000 small rows 600 MiB were resident, of which 90 were live. The flags are goals, not
 * limits: live data (a value of 100 MB, for one) still gets its memory.
 */
import { setFlagsFromString } from 'node:v8';

/**
 * The old generation is collected when it has grown by this percentage. Socket buffers count: about 30 MB at any time,
 * which the young generation frees almost for nothing. At 20 % every 8 MB caused a full collection, half of the CPU
 * time of a copy and a third of that of a stream.
 */
const GROWTH_PERCENT = 60;
/**
 * Half of the young generation of every thread started later (workflow code runs in one), MiB; YOUNG_FLAG is for the main thread.
 */
const YOUNG_MIB = 2;

setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
setFlagsFromString(`--max-semi-space-size=${YOUNG_MIB}`);
