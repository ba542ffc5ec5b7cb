/**
 * Points in time that an operator writes: ISO 8601 with an offset (`2026-11-28T01:00+01:00`, `…Z`), or local time and the name of an
 * IANA zone (`2026-11-28T01:00 Europe/Berlin`). What could mean two moments is refused: no zone, an abbreviation such as CET
 * or IST, `Etc/GMT+1` (an hour *behind* UTC), and a local time that the change of the clocks skips or repeats.
 */

const FORM =
  /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?(?: ?(Z|UTC|[+-]\d\d:\d\d)| ([A-Za-z_]+(?:\/[A-Za-z0-9_+-]+)+))$/;
const SIGN_REVERSED = /^Etc\/GMT[+-]/i;
const MS_PER_MINUTE = 60_000;
/** Longer than any offset, shorter than the time between two changes of a zone. */
const DAY_MS = 24 * 60 * MS_PER_MINUTE;
const MOST_OFFSET_MINUTES = 14 * 60;

const EXAMPLES = '"2026-11-28T01:00+01:00" or "2026-11-28T01:00 Europe/Berlin"';

/** What is wrong with a time; repeats no value that it does not know to be a name of a zone. */
export class UnclearTime extends Error {
  override readonly name = 'UnclearTime';
}

interface Written {
  /** The wall clock's reading, as if it were UTC. Milliseconds. */
  readonly local: number;
  readonly offsetMinutes?: number;
  readonly zone?: string;
}

/** Whether the text has one of the two forms, and its date exists. Needs no data of time zones. */
export function isZonedTime(text: string): boolean {
  return written(text) !== undefined;
}

/** Whether the text is a moment without looking a zone up: it has an offset. */
export function hasOffset(text: string): boolean {
  return written(text)?.offsetMinutes !== undefined;
}

/**
 * The moment, milliseconds since 1970. Looks named zones up in the data of this Node: workflow code must not call it for
 * them, because a replay elsewhere may have other data.
 * @throws UnclearTime saying what is missing or ambiguous.
 */
export function instantOf(text: string): number {
  const time = written(text);
  if (!time) throw new UnclearTime(`must be a time with its zone, like ${EXAMPLES}`);
  const { local, offsetMinutes, zone } = time;
  if (zone === undefined) return local - (offsetMinutes ?? 0) * MS_PER_MINUTE;
  if (SIGN_REVERSED.test(zone)) {
    throw new UnclearTime(`${zone} means the opposite of what it looks like: write an offset`);
  }
  const clock = clockOf(zone);
  // The offsets before and after a change of the clocks nearby; mostly the same one.
  const offsets = new Set([local - DAY_MS, local, local + DAY_MS].map((at) => clock(at) - at));
  const moments = [...offsets].map((offset) => local - offset).filter((at) => clock(at) === local);
  const [moment] = moments;
  if (moment === undefined) {
    throw new UnclearTime(`does not exist in ${zone}: the clocks skip it. Choose another time`);
  }
  if (moments.length > 1) {
    throw new UnclearTime(`happens twice in ${zone}, when the clocks go back: write an offset`);
  }
  return moment;
}

/** A clock on the wall in that zone: moment → its reading, as if it were UTC. */
function clockOf(timeZone: string): (at: number) => number {
  try {
    const format = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit' },
      ...{ hour: '2-digit', minute: '2-digit', second: '2-digit' },
    });
    return (at) => {
      const parts = new Map(
        format.formatToParts(at).map(({ type, value }) => [type, Number(value)]),
      );
      const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
      return Date.UTC(
        ...([part('year'), part('month') - 1, part('day')] as const),
        ...([part('hour'), part('minute'), part('second')] as const),
      );
    };
  } catch {
    throw new UnclearTime(`names no time zone that is known here; write one like ${EXAMPLES}`);
  }
}

function written(text: string): Written | undefined {
  const [, year, month, day, hour, minute, second = '00', offset, zone] = FORM.exec(text) ?? [];
  if (year === undefined) return undefined;
  const reading = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const local = Date.parse(reading);
  // Date.parse takes the 30th of February for the 1st or 2nd of March.
  if (Number.isNaN(local) || new Date(local).toISOString() !== reading) return undefined;
  if (zone !== undefined) return { local, zone };
  const offsetMinutes = minutesOf(offset ?? 'Z');
  return Math.abs(offsetMinutes) > MOST_OFFSET_MINUTES ? undefined : { local, offsetMinutes };
}

/** `+05:30` → 330. */
function minutesOf(offset: string): number {
  const [, sign, hours = '0', minutes = '0'] = /^([+-])(\d\d):(\d\d)$/.exec(offset) ?? [];
  const size = Number(hours) * 60 + Number(minutes);
  return sign === '-' ? -size : size;
}
