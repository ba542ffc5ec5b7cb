/** Why a connection failed: one error for all the ways that were tried, without any text from the server. */
import { MigrationError } from '../../contract/failure.ts';
import { classify, sqlstate } from './failure.ts';
import type { Endpoint } from './service.ts';
import type { Way } from './tls.ts';

export interface FailedWay {
  readonly way: Way;
  readonly error: unknown;
}

/**
 * Whether trying the other way is pointless. As in libpq, a server that refused the login over one way may accept it over the
 * other (class 28, by pg_hba.conf), and so may one whose TLS failed (including errors in our certificate files). A server that is
 * unreachable or has no such database will not.
 */
export function isFinal(error: unknown): boolean {
  if (error instanceof MigrationError) return false;
  const state = sqlstate(error);
  if (state !== undefined) return !state.startsWith('28');
  return classify(error, {}, 'InvalidService').code === 'Unreachable';
}

/** The error to throw; codes as for {@link classify}, `InvalidService` when TLS cannot be negotiated. */
export function connectFailure(
  endpoint: Pick<Endpoint, 'service' | 'host' | 'port'>,
  failures: readonly FailedWay[],
): MigrationError {
  const place = endpoint.host.startsWith('/') ? endpoint.host : `${endpoint.host}:${endpoint.port}`;
  const step = `connecting to service "${endpoint.service}" at ${place}`;
  const classified = failures.map(({ way, error }) => ({
    way,
    failure: classify(error, { step }, 'InvalidService'),
  }));
  const last = classified.at(-1);
  if (!last) return new MigrationError('Internal', `${step}: no way to connect was tried`);
  if (classified.length === 1) return last.failure;
  // The same error with and without TLS is not about TLS: report it once.
  if (new Set(classified.map(({ failure }) => failure.message)).size === 1) return last.failure;
  // Report both: the operator asked for the first, and the second is often only its consequence.
  const both = classified.map(({ way, failure }) => {
    const what = failure.message.slice(step.length + 2);
    return `${way === 'tls' ? 'with' : 'without'} TLS ${what}`;
  });
  return new MigrationError(
    last.failure.code,
    `${step}: ${both.join('; ')}`,
    last.failure.details,
    last.failure.cause,
  );
}
