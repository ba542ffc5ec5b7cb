/** The input of the update `rehearse`. */
import * as v from 'valibot';
import { isFenced } from '../contract/cutover.ts';
import { isUnapproved } from './approved.ts';
import type { Execution } from './execution.ts';
import { ending } from './failure.ts';

const rehearsing = v.strictObject({ fence: v.exactOptional(v.boolean()) });

/** Whether the update `rehearse` really stops the writes. @throws ApplicationFailure `Refused`. */
export function rehearsalOf(run: Execution, options: unknown): 'look' | 'fence' {
  if (!isFenced(run.input)) {
    throw ending('Refused', 'a rehearsal needs a fence, and the input of this migration has none');
  }
  const parsed = Array.isArray(options) ? undefined : v.safeParse(rehearsing, options ?? {});
  if (parsed?.success && parsed.output.fence !== true) return 'look';
  if (parsed?.success) {
    // The application gets errors, as in a cutover.
    if (isUnapproved(run)) throw ending('Refused', UNAPPROVED);
    return 'fence';
  }
  throw ending('Refused', 'omit the input of rehearse, or give {"fence": true}');
}

const UNAPPROVED =
  'a rehearsal with the fence stops the writes, and the input requires approval for that: call approve first';
