/** Numbers as people read them. Not with Intl, whose output depends on the worker's ICU data, which a replay must not. */
import type { ShownLimits } from '../contract/limits.ts';

/** `1234567` → `1,234,567`. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 table`, `2 tables`. */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${Math.round(value) === 1 ? '' : 's'}`;
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Bytes in steps of 1000: `1.2 MB`. */
export function bytes(value: number): string {
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < UNITS.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(size) : size.toFixed(1)} ${UNITS[unit] ?? ''}`;
}

/** Seconds: `0.8 s`, `42 s`, `12 min 5 s`, `3 h 4 min`. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Whole percent, never 100 before it is done. */
export function percent(done: number, total: number): string {
  return `${total <= 0 ? 100 : Math.floor((done / total) * 100)} %`;
}

/** `copy 2 streams, 5.0 MB/s; apply 1,000 changes/s`, or `none`. */
export function limitsText(limits: ShownLimits): string {
  const { copyStreams, copyBytesPerSecond, applyChangesPerSecond, guard } = limits;
  const copy = [
    ...(copyStreams === 0 ? [] : [counted(copyStreams, 'stream')]),
    ...(copyBytesPerSecond === 0 ? [] : [`${bytes(copyBytesPerSecond)}/s`]),
  ];
  const parts = [
    ...(copy.length === 0 ? [] : [`copy ${copy.join(', ')}`]),
    ...(applyChangesPerSecond === 0 ? [] : [`apply ${count(applyChangesPerSecond)} changes/s`]),
    ...(guard === 'off' ? ['guard off'] : []),
  ];
  return parts.length === 0 ? 'none' : parts.join('; ');
}

/** `2026-11-21 09:41:07 UTC`. @param iso an ISO 8601 time of the workflow. */
export function moment(iso: string): string {
  return iso.replace('T', ' ').replace(/\.\d+Z$/, ' UTC');
}

export const POSITION_NOTE =
  'the stream has stopped, but its position is not known yet; the position shown is that of the last checkpoint';

export const LIMITS_NOTE =
  'new limits are not in force yet: they could not be written into the control schema on the target';
