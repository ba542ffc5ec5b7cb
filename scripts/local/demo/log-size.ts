/** Where a log stands, to tell apart what an earlier process of that name wrote. */
import { statSync } from 'node:fs';

/** Bytes; 0 before there is a file. The logs that are read here are ASCII, so it is also the number of characters. */
export function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}
