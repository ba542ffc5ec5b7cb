/** The input of the update `cutover`: what differs from the workflow's input, for this one cutover. */
import * as v from 'valibot';
import { isFenced } from '../contract/cutover.ts';
import type { MigrationInput } from '../contract/input-schema.ts';
import { whole } from '../contract/whole.ts';
import { ending } from './failure.ts';

export interface CutoverOptions {
  readonly compare: 'exact' | 'off';
  readonly maxDowntimeSeconds: number;
}

const given = v.strictObject({
  compare: v.exactOptional(v.picklist(['exact', 'off'])),
  maxDowntimeSeconds: v.exactOptional(whole(1, 3600)),
});

/** @throws ApplicationFailure `Refused` for anything else than the known fields. */
export function cutoverOptions({ cutover }: MigrationInput, options: unknown): CutoverOptions {
  const { compare, maxDowntimeSeconds } = cutover;
  const standard = { compare, maxDowntimeSeconds };
  if (options === undefined || options === null) return standard;
  // valibot accepts an empty list as an object without fields.
  const parsed = Array.isArray(options) ? undefined : v.safeParse(given, options);
  if (parsed?.success) return { ...standard, ...parsed.output };
  throw ending(
    'Refused',
    'omit the input of cutover, or give {"compare": "exact"} or {"compare": "off"}, and {"maxDowntimeSeconds": 1 to 3600} for one with a fence',
  );
}

/** The options as they are given, for messages. */
export function optionsText({ compare, maxDowntimeSeconds }: CutoverOptions): string {
  return `{"compare": "${compare}", "maxDowntimeSeconds": ${maxDowntimeSeconds}}`;
}

const rehearsing = v.strictObject({ fence: v.exactOptional(v.boolean()) });

/** Whether the update `rehearse` really stops the writes. @throws ApplicationFailure `Refused`. */
export function rehearsalOf(
  { input }: { readonly input: MigrationInput },
  options: unknown,
): 'look' | 'fence' {
  if (!isFenced(input)) {
    throw ending('Refused', 'a rehearsal needs a fence, and the input of this migration has none');
  }
  const parsed = Array.isArray(options) ? undefined : v.safeParse(rehearsing, options ?? {});
  if (parsed?.success) return parsed.output.fence === true ? 'fence' : 'look';
  throw ending('Refused', 'omit the input of rehearse, or give {"fence": true}');
}
