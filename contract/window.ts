/** The window of a cutover: it begins within it, or not at all. Pure. */
import * as v from 'valibot';
import { described } from './described.ts';
import { MigrationError } from './failure.ts';
import { hasOffset, instantOf, isZonedTime, UnclearTime } from './zoned-time.ts';

const FORM =
  'must be a time with its zone, like "2026-11-28T01:00+01:00" or "2026-11-28T01:00 Europe/Berlin"';
const time = v.pipe(v.string(FORM), v.check(isZonedTime, FORM));

/** `window` of the input. */
export const windowField = v.optional(
  v.strictObject({
    from: described(
      time,
      'The cutover begins at this time or later: ISO 8601 with an offset, or a local time and an IANA zone (`2026-11-28T01:00 Europe/Berlin`). Asked for earlier, it waits.',
    ),
    to: described(time, 'The cutover begins before this time, or not at all.'),
  }),
);
export type WindowInput = NonNullable<v.InferOutput<typeof windowField>>;

const moment = v.pipe(v.string(), v.isoTimestamp());

/** As the state keeps it: both ends in UTC, so that nothing depends on data of time zones any more. */
export const cutoverWindow = v.pipe(v.object({ from: moment, to: moment }), v.readonly());
export type CutoverWindow = v.InferOutput<typeof cutoverWindow>;

/**
 * The window in UTC. Workflow code may call it for offsets only ({@link hasOffsets}).
 * @throws UnclearTime naming the field and what is wrong with it.
 */
export function windowInUtc({ from, to }: WindowInput): CutoverWindow {
  const [begins, ends] = [field('window.from', from), field('window.to', to)];
  if (ends <= begins) throw new UnclearTime('"window.to" must be later than "window.from"');
  return { from: new Date(begins).toISOString(), to: new Date(ends).toISOString() };
}

/** As {@link windowInUtc}, for a step. @throws MigrationError `InvalidInput`. */
export function resolvedWindow(window: WindowInput): CutoverWindow {
  try {
    return windowInUtc(window);
  } catch (error) {
    if (!(error instanceof UnclearTime)) throw error;
    throw new MigrationError('InvalidInput', `invalid input: ${error.message}`);
  }
}

function field(name: string, text: string): number {
  try {
    return instantOf(text);
  } catch (error) {
    if (error instanceof UnclearTime) throw new UnclearTime(`"${name}" ${error.message}`);
    throw error;
  }
}

/** Whether both ends are moments without looking up a zone. */
export function hasOffsets({ from, to }: WindowInput): boolean {
  return hasOffset(from) && hasOffset(to);
}

export function sameWindow(a: CutoverWindow | undefined, b: CutoverWindow | undefined): boolean {
  return a?.from === b?.from && a?.to === b?.to;
}

/** `from 2026-11-28 00:00:00 UTC to 2026-11-28 03:00:00 UTC`. */
export function windowText({ from, to }: CutoverWindow): string {
  return `from ${minute(from)} to ${minute(to)}`;
}

const minute = (iso: string): string => iso.replace('T', ' ').replace(/\.\d+Z$/, ' UTC');
