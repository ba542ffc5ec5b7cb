/** The updates `verify` and `repair`: what they require beyond their stage, and how they wait for the result. */
import { uuid4 } from '@temporalio/workflow';
import { differingReport } from '../contract/verification-state.ts';
import type { Execution } from './execution.ts';
import { ending } from './failure.ts';
import { verificationOf } from './state/verification-fact.ts';
import { keepVerifying } from './verify.ts';

type Verifying = 'verify' | 'repair';

/** For the validators. Changes nothing. @throws ApplicationFailure `Refused`. */
export function requireVerifiable(run: Execution, update: Verifying, options: unknown): void {
  const why = refusalOf(run, update, options);
  if (why !== null) throw ending('Refused', why);
}

function refusalOf(run: Execution, update: Verifying, options: unknown): string | null {
  if (!isEmpty(options)) return `omit the input of ${update}: it takes none`;
  if (!run.state.consistent) {
    return 'the target is not consistent yet: tables still catch up with their snapshot (see the query progress)';
  }
  const state = verificationOf(run.state);
  const { running } = state;
  if (update === 'verify') {
    return running && running.repairs !== null
      ? 'differing rows are being repaired: call verify when that is done'
      : null;
  }
  if (running?.repairs === null) return 'a verification is running: call repair when it has ended';
  if (running || differingReport(state)) return null;
  return 'nothing to repair: the newest verification found no row that differs, or there was none';
}

function isEmpty(options: unknown): boolean {
  if (options === undefined || options === null) return true;
  return (
    typeof options === 'object' && !Array.isArray(options) && Object.keys(options).length === 0
  );
}

/** Begins a verification, or a repair and the comparison after it, or joins the one that runs. @returns its result. */
export async function verifyNow(run: Execution, update: Verifying): Promise<string> {
  if (!verificationOf(run.state).running) {
    run.tell({ type: update, id: uuid4(), by: 'operator' });
  }
  if (run.verifier) run.verifier.sooner = true;
  keepVerifying(run);
  run.verifyCallers += 1;
  try {
    return await run.verified.promise;
  } finally {
    run.verifyCallers -= 1;
  }
}
