/** The input of the update `rehearse`. */
import * as v from 'valibot';
import { isFenced } from '../contract/cutover.ts';
import { accept, UNKNOWN_FINDING } from '../contract/cutover-request.ts';
import type { ReadinessCode } from '../contract/readiness-finding.ts';
import { isUnapproved } from './approved.ts';
import type { Execution } from './execution.ts';
import { ending } from './failure.ts';

const rehearsing = v.strictObject({
  fence: v.exactOptional(v.boolean()),
  accept: v.exactOptional(accept),
});

export interface RehearsalOptions {
  /** Whether it really stops the writes. */
  readonly rehearsal: 'look' | 'fence';
  /** Findings of readiness that do not refuse it; the cutover has to accept them again. */
  readonly accept: readonly ReadinessCode[];
}

/** The options of the update `rehearse`. @throws ApplicationFailure `Refused`. */
export function rehearsalOf(run: Execution, options: unknown): RehearsalOptions {
  if (!isFenced(run.input)) {
    throw ending('Refused', 'a rehearsal needs a fence, and the input of this migration has none');
  }
  const parsed = Array.isArray(options) ? undefined : v.safeParse(rehearsing, options ?? {});
  if (parsed?.success) {
    const { fence = false, accept: accepted = [] } = parsed.output;
    // The application gets errors, as in a cutover.
    if (fence && isUnapproved(run)) throw ending('Refused', UNAPPROVED);
    return { rehearsal: fence ? 'fence' : 'look', accept: accepted };
  }
  if (parsed?.issues.every(({ path }) => path?.[0].key === 'accept') === true) {
    throw ending('Refused', UNKNOWN_FINDING);
  }
  throw ending(
    'Refused',
    'omit the input of rehearse, or give {"fence": true}, and {"accept": ["…"]} for findings of readiness',
  );
}

const UNAPPROVED =
  'a rehearsal with the fence stops the writes, and the input requires approval for that: call approve first';
