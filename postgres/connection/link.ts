/** How a session's bytes travel: what an operator has to know before the rows of a database go that way. */
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type pg from 'pg';
import { trustedRoots } from './certificate.ts';
import { endpointOf } from './service.ts';

export interface Link {
  /** `host:port`, or the folder of a Unix socket. */
  readonly place: string;
  /** A Unix socket or the loopback address: no network in between. */
  readonly local: boolean;
  readonly encrypted: boolean;
  /** What TLS proved about the other end: nothing, that its certificate is trusted, or that it also names the host. */
  readonly verified: 'nothing' | 'chain' | 'host';
}

const LOOPBACK = /^(::ffff:)?127\.|^::1$/;

/** Of a connected client of that service; asks the socket itself, because `sslmode` may allow several ways. */
export function linkOf(service: string, client: pg.Client): Link {
  const endpoint = endpointOf(service);
  const { stream } = client.connection;
  const encrypted = stream instanceof TLSSocket;
  const folder = endpoint.host.startsWith('/');
  return {
    place: folder ? endpoint.host : `${endpoint.host}:${endpoint.port}`,
    local: folder || (stream instanceof Socket && LOOPBACK.test(stream.remoteAddress ?? '')),
    encrypted,
    verified: encrypted ? verified(service) : 'nothing',
  };
}

/** A handshake that was made was verified as far as the settings ask for it: anything less ends the connection. */
function verified(service: string): Link['verified'] {
  const endpoint = endpointOf(service);
  if (trustedRoots(endpoint, process.env) === null) return 'nothing';
  return endpoint.sslmode === 'verify-full' ? 'host' : 'chain';
}
