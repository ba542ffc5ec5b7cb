/**
 * Chooses certificates as libpq does: the roots to verify a server against, and the certificate and key to present.
 *
 * A surprising rule: an existing root certificate is used in *every* mode. `require` with a `root.crt` is `verify-ca`, and
 * `prefer` with a wrong one falls back to no TLS.
 */
import { nonEmpty } from './setting.ts';
import { readFileSync, statSync, type Stats } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { userFile } from './home.ts';
import { invalid, type Endpoint } from './service.ts';

export interface OwnCertificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/**
 * Permission bits that a private key must not have: any for group and others, or, if root owns it, group write and any for
 * others.
 */
const FORBIDDEN_FOR_OWNER = 0o077;
const FORBIDDEN_FOR_ROOT = 0o037;

/** Where systems keep trusted certificates; the first that exists is used. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/**
 * The roots to verify the server against; null: do not verify.
 * @throws MigrationError `InvalidService` when the mode requires verification and there is no root certificate.
 */
export function trustedRoots(
  endpoint: Endpoint,
  env: NodeJS.ProcessEnv,
): (string | Buffer)[] | null {
  const { service, settings, sslmode } = endpoint;
  if (settings.sslrootcert === 'system') return systemRoots(env);
  const named = settings.sslrootcert;
  const file = named === undefined || named === '' ? userFile(env, 'root.crt') : named;
  if (statOf(file) !== null) return [read(service, 'sslrootcert', file)];
  if (sslmode === 'verify-ca' || sslmode === 'verify-full') {
    throw invalid(
      service,
      `"sslmode" ${sslmode} needs a root certificate, and ${file} ("sslrootcert") does not exist`,
    );
  }
  return null;
}

/** Revocation list for the roots; a list that does not exist revokes nothing, as in libpq. */
export function revocations(endpoint: Endpoint, env: NodeJS.ProcessEnv): Buffer | null {
  const named = endpoint.settings.sslcrl;
  const file = named === undefined || named === '' ? userFile(env, 'root.crl') : named;
  return statOf(file) === null ? null : read(endpoint.service, 'sslcrl', file);
}

/**
 * The client's certificate, or null when there is none: as in libpq, a missing certificate file is no error and the server
 * decides.
 * @throws MigrationError `InvalidService` for a key that is missing or accessible to others.
 */
export function ownCertificate(endpoint: Endpoint, env: NodeJS.ProcessEnv): OwnCertificate | null {
  const { service, settings } = endpoint;
  const certFile = nonEmpty(settings.sslcert) ?? userFile(env, 'postgresql.crt');
  if (statOf(certFile) === null) return null;
  const keyFile = nonEmpty(settings.sslkey) ?? userFile(env, 'postgresql.key');
  const key = statOf(keyFile);
  if (key === null) {
    throw invalid(
      service,
      `the client certificate has no private key: ${keyFile} ("sslkey") does not exist`,
    );
  }
  if (!key.isFile())
    throw invalid(service, `private key ${keyFile} ("sslkey") is not a plain file`);
  const forbidden = key.uid === 0 ? FORBIDDEN_FOR_ROOT : FORBIDDEN_FOR_OWNER;
  if ((key.mode & forbidden) !== 0) {
    throw invalid(
      service,
      `private key ${keyFile} ("sslkey") is accessible to others; set its permissions to 0600 or stricter (0640 if root owns it)`,
    );
  }
  return { cert: read(service, 'sslcert', certFile), key: read(service, 'sslkey', keyFile) };
}

function systemRoots(env: NodeJS.ProcessEnv): (string | Buffer)[] {
  for (const file of [env['SSL_CERT_FILE'], ...SYSTEM_BUNDLES]) {
    if (file !== undefined && statOf(file) !== null) return [readFileSync(file)];
  }
  return [...rootCertificates];
}

function read(service: string, key: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw invalid(service, `${file} ("${key}") cannot be read`, error);
  }
}

function statOf(file: string): Stats | null {
  return statSync(file, { throwIfNoEntry: false }) ?? null;
}
