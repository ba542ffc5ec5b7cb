/**
 * The ways to connect that an `sslmode` allows, in libpq's order, and what TLS verifies in each.
 *
 * | sslmode     | tried           | verified                              |
 * | ----------- | --------------- | ------------------------------------- |
 * | disable     | plain           |                                       |
 * | allow       | plain, then TLS | chain, when a root certificate exists |
 * | prefer      | TLS, then plain | chain, when a root certificate exists |
 * | require     | TLS             | chain, when a root certificate exists |
 * | verify-ca   | TLS             | chain                                 |
 * | verify-full | TLS             | chain and host name                   |
 *
 * A Unix socket never uses TLS.
 */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { ConnectionOptions, PeerCertificate, SecureVersion } from 'node:tls';
import { ownCertificate, revocations, trustedRoots } from './certificate.ts';
import { invalid } from './service.ts';
import type { Endpoint } from './service.ts';

export type Way = 'tls' | 'plain';

const VERSIONS: readonly SecureVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];

/** The ways to try, in this order, until the server accepts one. */
export function waysOf(endpoint: Endpoint): readonly Way[] {
  if (endpoint.host.startsWith('/')) return ['plain'];
  switch (endpoint.sslmode) {
    case 'disable':
      return ['plain'];
    case 'allow':
      return ['plain', 'tls'];
    case 'prefer':
      return ['tls', 'plain'];
    case 'require':
    case 'verify-ca':
    case 'verify-full':
      return ['tls'];
  }
}

/**
 * Options for the TLS handshake.
 * @throws MigrationError `InvalidService` for files that are missing, unreadable or accessible to others.
 */
export function tlsOptions(endpoint: Endpoint, env: NodeJS.ProcessEnv): ConnectionOptions {
  const { service, settings } = endpoint;
  const roots = trustedRoots(endpoint, env);
  const own = ownCertificate(endpoint, env);
  const crl = roots === null ? null : revocations(endpoint, env);
  const least = version(service, 'ssl_min_protocol_version', settings.ssl_min_protocol_version);
  const most = version(service, 'ssl_max_protocol_version', settings.ssl_max_protocol_version);
  const identity = endpoint.sslmode === 'verify-full' ? sameHost : () => undefined;
  return {
    rejectUnauthorized: roots !== null,
    // The driver passes the address that it connects to, but the certificate must name the service's host.
    checkServerIdentity: (_address, certificate) => identity(endpoint.host, certificate),
    ...(roots === null ? {} : { ca: roots }),
    ...(crl === null ? {} : { crl }),
    ...(own ?? {}),
    ...(settings.sslpassword === undefined ? {} : { passphrase: settings.sslpassword }),
    // libpq's default. Node's default is the same, unless the operator's Node is configured differently.
    minVersion: least ?? 'TLSv1.2',
    ...(most === null ? {} : { maxVersion: most }),
    ...(isIP(endpoint.host) === 0 && settings.sslsni !== '0' ? { servername: endpoint.host } : {}),
  };
}

/**
 * Whether the certificate names the host, by libpq's rules: alternative names first, the common name only when there is no
 * alternative name of that kind, `*` for one whole label.
 */
function sameHost(host: string, certificate: Pick<PeerCertificate, 'raw'>): Error | undefined {
  const parsed = new X509Certificate(certificate.raw);
  const named =
    (isIP(host) !== 0 && parsed.checkIP(host) !== undefined) ||
    parsed.checkHost(host, { partialWildcards: false }) !== undefined;
  if (named) return undefined;
  return Object.assign(new Error('the certificate names another host'), {
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  });
}

function version(service: string, key: string, text: string | undefined): SecureVersion | null {
  if (text === undefined || text === '') return null;
  const known = VERSIONS.find((one) => one.toLowerCase() === text.toLowerCase());
  if (!known) throw invalid(service, `"${key}" must be one of ${VERSIONS.join(', ')}`);
  return known;
}
