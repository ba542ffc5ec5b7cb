/** A cutover that was asked for: the options of the update, and how a request that waits is kept and shown. Pure. */
import * as v from 'valibot';
import { isReadinessCode, READINESS, type ReadinessCode } from './readiness-finding.ts';
import type { MigrationInput } from './input-schema.ts';
import { COMPARISONS, type Comparison } from './comparison.ts';
import { whole } from './whole.ts';
import {
  cutoverWindow,
  hasOffsets,
  windowField,
  windowInUtc,
  windowText,
  type CutoverWindow,
} from './window.ts';
import { UnclearTime } from './zoned-time.ts';

const compare = v.picklist(COMPARISONS);
const maxDowntimeSeconds = whole(1, 3600);

/** What one cutover does. */
export interface CutoverOrder {
  readonly compare: Comparison;
  /** How long writes may be stopped before the cutover is undone; without a fence it has no meaning. */
  readonly maxDowntimeSeconds: number;
  /** Findings of readiness that do not refuse this one. */
  readonly accept: readonly ReadinessCode[];
}

/** Findings of readiness that can block a cutover. */
const BLOCKING = Object.entries(READINESS).flatMap(([code, { level }]) =>
  level === 'blocks' ? [code] : [],
);
/** Findings that a caller accepts by code. */
export const accept = v.pipe(
  v.array(v.custom<ReadinessCode>((code) => isReadinessCode(code) && BLOCKING.includes(code))),
  v.readonly(),
);

/** What the caller of `cutover` may set; unset: as in the migration's input. */
const options = v.strictObject({
  compare: v.exactOptional(compare),
  maxDowntimeSeconds: v.exactOptional(maxDowntimeSeconds),
  accept: v.exactOptional(accept),
  window: windowField,
});

export interface CutoverOptions extends Partial<CutoverOrder> {
  /** Replaces the window of the input. */
  readonly window?: CutoverWindow;
}

export type ParsedOptions =
  | { readonly ok: true; readonly options: CutoverOptions }
  | { readonly ok: false; readonly message: string };

const FORM =
  'omit the input of cutover, or give {"compare": "changed", "full", "exact" or "off"}, {"maxDowntimeSeconds": 1 to 3600} for one with a fence, {"accept": ["…"]} for findings of readiness, and {"window": {"from": …, "to": …}} to replace the window';

export const UNKNOWN_FINDING = `"accept" must be a list of findings that can block a cutover: ${BLOCKING.join(', ')}`;

/** Parses the input of `cutover`. Never throws, repeats no value. */
export function parseCutoverOptions(raw: unknown): ParsedOptions {
  const result = v.safeParse(options, raw ?? {});
  if (!result.success && result.issues.every(({ path }) => path?.[0].key === 'accept')) {
    return { ok: false, message: UNKNOWN_FINDING };
  }
  if (!result.success || Array.isArray(raw)) return { ok: false, message: FORM };
  const { window, ...kept } = result.output;
  if (window === undefined) return { ok: true, options: kept };
  // A zone would have to be looked up, which workflow code must not do.
  if (!hasOffsets(window)) {
    return {
      ok: false,
      message:
        'in the update, both times of "window" need an offset, like "2026-11-28T01:00+01:00"',
    };
  }
  try {
    return { ok: true, options: { ...kept, window: windowInUtc(window) } };
  } catch (error) {
    if (error instanceof UnclearTime) return { ok: false, message: error.message };
    throw error;
  }
}

/** The options of one call, completed by the settings of the input. What another call accepted has no meaning for this one. */
export function orderOf(
  { cutover }: MigrationInput,
  { compare, maxDowntimeSeconds, accept = [] }: Partial<CutoverOrder>,
): CutoverOrder {
  return {
    compare: compare ?? cutover.compare,
    maxDowntimeSeconds: maxDowntimeSeconds ?? cutover.maxDowntimeSeconds,
    accept,
  };
}

/** As its options are given, for messages. */
export function orderText({
  compare,
  maxDowntimeSeconds,
}: Pick<CutoverOrder, 'compare' | 'maxDowntimeSeconds'>): string {
  return `{"compare": "${compare}", "maxDowntimeSeconds": ${maxDowntimeSeconds}}`;
}

/** A request that waits for its window, or for approval. Part of the carried state, because no update may wait that long. */
export const heldCutover = v.pipe(
  v.object({
    /** When it was asked for, ISO 8601, in workflow time. */
    at: v.string(),
    compare,
    maxDowntimeSeconds: v.exactOptional(maxDowntimeSeconds),
    /** Absent in states of earlier code: then whatever was accepted so far. */
    accept: v.exactOptional(
      v.pipe(v.array(v.custom<ReadinessCode>(isReadinessCode)), v.readonly()),
    ),
    /** Of the update. */
    updateId: v.exactOptional(v.string()),
  }),
  v.readonly(),
);
export type HeldCutover = v.InferOutput<typeof heldCutover>;

/** As `progress` shows it. */
export const shownRequest = v.pipe(
  v.object({
    at: v.string(),
    /** Whether it needs an approval that was not given yet. */
    unapproved: v.boolean(),
    window: v.exactOptional(cutoverWindow),
  }),
  v.readonly(),
);
export type ShownRequest = v.InferOutput<typeof shownRequest>;

/** `waits for approval (update approve); runs in the window from … to …`. */
export function requestText({
  unapproved,
  window,
}: Pick<ShownRequest, 'unapproved' | 'window'>): string {
  return [
    ...(unapproved ? ['waits for approval (update approve)'] : []),
    ...(window ? [`runs in the window ${windowText(window)}, or not at all`] : []),
  ].join('; ');
}
