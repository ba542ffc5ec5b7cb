/**
 * A connection that requests TLS and continues without it when the server has none (`sslmode=prefer`, libpq's default). The
 * driver itself supports only "TLS or nothing".
 *
 * It replaces the driver's handling of the server's first byte, and relies on two undocumented methods of the pinned version;
 * tests against servers with and without TLS protect this.
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

/** A connection for the `connection` option of a client with the same `ssl`; valid for one client. */
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
      // More than one byte means that plain text was injected, to be mistaken for the encrypted answer.
      if (letter === 'S' && answer.length === 1) inside.upgradeToSSL(host, report);
      else if (letter === 'N' && answer.length === 1) {
        inside.attachListeners(socket);
        // The driver logs in when it receives this event.
        inside.emit('sslconnect');
      } else {
        socket.destroy();
        report(new Error('There was an error establishing an SSL connection'));
      }
    });
  };
  return connection;
}
