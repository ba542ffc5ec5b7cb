/**
 * A connection that asks for TLS and goes on without it when the server has none (`sslmode=prefer`, libpq's default). The
 * driver itself knows only "TLS or nothing".
 *
 * It replaces the driver's answer to the server's first byte, and so rests on two methods of the pinned version that are
 * not part of its documented interface; tests against servers with and without TLS stand guard.
 */
import type { Duplex } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';

interface Internals {
  readonly stream: Duplex;
  connect(port: number | string, host?: string): void;
  upgradeToSSL(host: string | undefined, report: (error: Error) => void): void;
  attachListeners(stream: Duplex): void;
  emit(event: string, ...values: unknown[]): boolean;
}

export interface NegotiationOptions {
  readonly ssl: ConnectionOptions;
  readonly keepAlive: boolean;
  readonly keepAliveInitialDelayMillis: number;
}

/** A connection for the `connection` setting of a client that has the same `ssl`; good for one client. */
export function preferringTls(options: NegotiationOptions): pg.Connection {
  const connection = new pg.Connection(options);
  const inside = connection as unknown as Internals;
  const connect = inside.connect.bind(inside);
  inside.connect = (port, host) => {
    connect(port, host);
    const socket = inside.stream;
    socket.removeAllListeners('data');
    socket.once('data', (answer: Buffer) => {
      const report = (error: Error): void => void inside.emit('error', error);
      const [letter] = answer.toString('latin1');
      // More than one byte would have come in plain text from somebody in between, to be taken for the encrypted answer.
      if (letter === 'S' && answer.length === 1) inside.upgradeToSSL(host, report);
      else if (letter === 'N' && answer.length === 1) {
        inside.attachListeners(socket);
        // What the driver takes for "the encrypted channel stands" is its sign to log in.
        inside.emit('sslconnect');
      } else {
        socket.destroy();
        report(new Error('There was an error establishing an SSL connection'));
      }
    });
  };
  return connection;
}
