/** Both sides answer, and are two databases. */
import { FAILURES, type FailureCode } from '../../../contract/failure.ts';
import type { Check } from '../facts.ts';
import { error } from '../wording.ts';

export const reach: Check = ({ failures, source, target }) => {
  const findings = failures.map(({ side, failure }) =>
    error(`${side}-${ending(failure.code)}`, failure.message, FAILURES[failure.code].action),
  );
  if (source && target && source.fingerprint === target.fingerprint) {
    findings.push(
      error(
        'same-database',
        `source and target are the same database, "${source.database}" of the same server`,
        'Let the target name another database, or another server.',
      ),
    );
  }
  return findings;
};

const ENDINGS: Readonly<Partial<Record<FailureCode, string>>> = {
  UnknownService: 'service',
  InvalidService: 'service',
  Unreachable: 'unreachable',
  Contention: 'unreachable',
  Denied: 'denied',
};

function ending(code: FailureCode): string {
  return ENDINGS[code] ?? 'not-inspected';
}
