/** A process that compares one run of a verification, for tests that kill it. Its argument: the step as JSON. */
import { comparePieces, type RunOfVerification } from '../../postgres/verification/piece-run.ts';

const step = JSON.parse(process.argv[2] ?? '') as RunOfVerification;
const log = { info: () => undefined, warn: () => undefined };
await comparePieces(step, {
  signal: new AbortController().signal,
  beat: () => undefined,
  log,
}).catch(() => process.exit(1));
