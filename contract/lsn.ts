/**
 * Log sequence numbers. Text `X/Y` on every wire and in every payload (Temporal's JSON cannot carry a bigint), `bigint`
 * where positions are compared. Only this file converts between them.
 */

declare const lsnBrand: unique symbol;

/** A WAL position as PostgreSQL prints it (`16/B374D848`): two hexadecimal numbers, high and low 32 bits. */
export type Lsn = string & { readonly [lsnBrand]: true };

const PATTERN = /^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/i;

/** Whether the text is a WAL position. */
export function isLsn(text: unknown): text is Lsn {
  return typeof text === 'string' && PATTERN.test(text);
}

/**
 * Reads a WAL position from text.
 * @throws RangeError when the text is not of the form `X/Y` with at most 8 hexadecimal digits on each side.
 */
export function parseLsn(text: string): Lsn {
  if (!isLsn(text))
    throw new RangeError(`not a WAL position: ${JSON.stringify(text.slice(0, 40))}`);
  return formatLsn(lsnToBigInt(text));
}

/** Text that was already checked as bytes, digit by digit, once for each transaction of the stream. */
export function trustedLsn(text: string): Lsn {
  return text as Lsn;
}

/** The position as a number of bytes since the beginning of the WAL, 0 to 2^64 - 1. */
export function lsnToBigInt(lsn: Lsn): bigint {
  const slash = lsn.indexOf('/');
  return (BigInt(`0x${lsn.slice(0, slash)}`) << 32n) | BigInt(`0x${lsn.slice(slash + 1)}`);
}

/**
 * The text of a position, in the upper-case form without leading zeros that PostgreSQL prints.
 * @throws RangeError outside 0 to 2^64 - 1.
 */
export function formatLsn(position: bigint): Lsn {
  if (position < 0n || position > 0xffff_ffff_ffff_ffffn) {
    throw new RangeError(`WAL position out of range: ${position}`);
  }
  const text = `${(position >> 32n).toString(16)}/${(position & 0xffff_ffffn).toString(16)}`;
  return text.toUpperCase() as Lsn;
}

/** Negative when `a` lies before `b`, 0 when equal, positive when after. Text order would be wrong: `9/0` < `10/0`. */
export function compareLsn(a: Lsn, b: Lsn): number {
  // Without a bigint: it is called several times for each transaction of the stream.
  return (
    halfOf(a, 0) - halfOf(b, 0) || halfOf(a, a.indexOf('/') + 1) - halfOf(b, b.indexOf('/') + 1)
  );
}

/** The 32 bits that begin at this index, up to the slash or the end. */
function halfOf(lsn: Lsn, from: number): number {
  let half = 0;
  for (let at = from; at < lsn.length; at += 1) {
    const code = lsn.charCodeAt(at);
    if (code === 0x2f) break;
    // Digits, then letters of either case.
    half = half * 16 + (code < 0x3a ? code - 0x30 : (code & 0x5f) - 0x37);
  }
  return half;
}

/** Bytes of WAL from `from` to `to`; negative when `to` lies before. Exact below 2^53 bytes (8 PiB). */
export function lsnDistance(from: Lsn, to: Lsn): number {
  return Number(lsnToBigInt(to) - lsnToBigInt(from));
}

/** The later of two positions. */
export function maxLsn(a: Lsn, b: Lsn): Lsn {
  return compareLsn(a, b) >= 0 ? a : b;
}
