/** The input of the update `cutover`. Pure, for its validator. */
import { isReadinessCode, READINESS, type ReadinessCode } from '../contract/readiness-finding.ts';
import { ending } from './failure.ts';

export interface CutoverOptions {
  readonly compare: 'exact' | 'off';
  /** Findings of readiness that do not refuse it. */
  readonly accept: readonly ReadinessCode[];
}

/**
 * @param compare the setting of the input, which applies when the caller names none.
 * @throws ApplicationFailure `Refused` saying what is allowed.
 */
export function cutoverOptions(
  options: unknown,
  compare: CutoverOptions['compare'],
): CutoverOptions {
  if (options === undefined || options === null) return { compare, accept: [] };
  if (typeof options !== 'object' || Array.isArray(options)) throw ending('Refused', ALLOWED);
  const { compare: asked, accept, ...others }: Partial<Record<string, unknown>> = { ...options };
  const isKnown = asked === undefined || asked === 'exact' || asked === 'off';
  if (!isKnown || Object.keys(others).length > 0) throw ending('Refused', ALLOWED);
  return { compare: asked ?? compare, accept: acceptedOf(accept) };
}

const ALLOWED =
  'omit the input of cutover, or give {"compare": "exact"} or {"compare": "off"}, and {"accept": ["…"]} for findings of readiness';

const BLOCKING = Object.entries(READINESS).flatMap(([code, { level }]) =>
  level === 'blocks' ? [code] : [],
);

function acceptedOf(accept: unknown): readonly ReadinessCode[] {
  if (accept === undefined) return [];
  const codes: readonly unknown[] = Array.isArray(accept) ? accept : [];
  const known = codes.filter(isReadinessCode).filter((code) => BLOCKING.includes(code));
  if (Array.isArray(accept) && known.length === codes.length) return known;
  throw ending(
    'Refused',
    `"accept" must be a list of findings that can block a cutover: ${BLOCKING.join(', ')}`,
  );
}
