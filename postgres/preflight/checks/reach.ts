/** Both sides answer, and are two databases. */
import { FAILURES, type FailureCode } from '../../../contract/failure.ts';
import type { Check } from '../facts.ts';
import { error } from '../wording.ts';

/** What pgbouncer answers to a start-up parameter that it does not know (`options`, for one). */
const PROTOCOL_VIOLATION = '08P01';

export const reach: Check = ({ failures, source, target }) => {
  const findings = failures.map(({ side, failure }) =>
    failure.details.sqlstate === PROTOCOL_VIOLATION
      ? error(
          `${side}-pooled`,
          `${failure.message}; the start-up settings of the session are refused, as connection poolers do`,
          "Let the service name the server itself: its own host and port (5432 as a rule), not the pooler's or load balancer's.",
        )
      : error(`${side}-${ending(failure.code)}`, failure.message, FAILURES[failure.code].action),
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

type Ending = 'service' | 'unreachable' | 'denied' | 'not-inspected';

const ENDINGS: Readonly<Partial<Record<FailureCode, Ending>>> = {
  UnknownService: 'service',
  InvalidService: 'service',
  Unreachable: 'unreachable',
  Contention: 'unreachable',
  Denied: 'denied',
};

function ending(code: FailureCode): Ending {
  return ENDINGS[code] ?? 'not-inspected';
}
