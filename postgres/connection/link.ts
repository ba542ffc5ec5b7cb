/** How a session's bytes travel: what an operator must know before sending the rows of a database over it. */
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type pg from 'pg';
import { trustedRoots } from './certificate.ts';
import { endpointOf } from './service.ts';

export interface Link {
  readonly place: string;
  /** A Unix socket or the loopback address: no network in between. */
  readonly local: boolean;
  readonly encrypted: boolean;
  /** What TLS verified about the server: nothing, that its certificate is trusted, or that it also names the host. */
  readonly verified: 'nothing' | 'chain' | 'host';
}

const LOOPBACK = /^(::ffff:)?127\.|^::1$/;

/** The link of a connected client of this service; read from the socket, because `sslmode` may allow several ways. */
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

/** A completed handshake was verified as the settings require: otherwise the connection would have failed. */
function verified(service: string): Link['verified'] {
  const endpoint = endpointOf(service);
  if (trustedRoots(endpoint, process.env) === null) return 'nothing';
  return endpoint.sslmode === 'verify-full' ? 'host' : 'chain';
}
