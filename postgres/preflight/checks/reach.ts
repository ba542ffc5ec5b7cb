/** Both sides are reachable and are different databases. */
import { FAILURES, type FailureCode } from '../../../contract/failure-catalogue.ts';
import type { Check } from '../facts.ts';
import { error } from '../wording.ts';

/** The answer of pgbouncer to an unknown startup parameter such as `options`. */
const PROTOCOL_VIOLATION = '08P01';

export const reach: Check = ({ failures, source, target }) => {
  const findings = failures.map(({ side, failure }) =>
    failure.details.sqlstate === PROTOCOL_VIOLATION
      ? error(
          `${side}-pooled`,
          `${failure.message}; the startup settings of the session are refused, which is typical of connection poolers`,
          "Point the service directly to the server: its own host and port (usually 5432), not the pooler's or load balancer's.",
        )
      : error(`${side}-${suffix(failure.code)}`, failure.message, FAILURES[failure.code].action),
  );
  if (source && target && source.fingerprint === target.fingerprint) {
    findings.push(
      error(
        'same-database',
        `source and target are the same database, "${source.database}" on the same server`,
        'Use another database or another server as the target.',
      ),
    );
  }
  return findings;
};

type Suffix = 'service' | 'unreachable' | 'denied' | 'not-inspected';

const SUFFIXES: Readonly<Partial<Record<FailureCode, Suffix>>> = {
  UnknownService: 'service',
  InvalidService: 'service',
  Unreachable: 'unreachable',
  Contention: 'unreachable',
  Denied: 'denied',
};

function suffix(code: FailureCode): Suffix {
  return SUFFIXES[code] ?? 'not-inspected';
}
