/** The input of the update `cutover`: what differs from the workflow's input, for this one cutover. */
import * as v from 'valibot';
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
