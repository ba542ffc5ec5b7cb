/** What `pg` does not expose: the socket of a client, and its backend's process id. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';

export type Socket = Pick<
  NodeJS.ReadableStream,
  'pause' | 'resume' | 'on' | 'listeners' | 'removeAllListeners'
>;

/** The socket (TLS or not) of a connected client. */
export function socketOf(client: pg.Client): Socket {
  const connection: unknown = Reflect.get(client, 'connection');
  const stream: unknown =
    typeof connection === 'object' && connection !== null
      ? Reflect.get(connection, 'stream')
      : undefined;
  if (!isSocket(stream)) {
    throw new MigrationError('Internal', 'the pg client has no socket that can be paused');
  }
  return stream;
}

function isSocket(value: unknown): value is Socket {
  return (
    typeof value === 'object' &&
    value !== null &&
    ['pause', 'resume', 'on', 'listeners', 'removeAllListeners'].every(
      (name) => typeof Reflect.get(value, name) === 'function',
    )
  );
}

/**
 * From now on, passes everything that the socket reads to `read` instead of the driver.
 * @returns a function that passes bytes to the driver.
 */
export function divert(socket: Socket, read: (bytes: Buffer) => void): (bytes: Buffer) => void {
  const driver = socket.listeners('data');
  socket.removeAllListeners('data');
  socket.on('data', read);
  return (bytes) => {
    for (const listener of driver) Reflect.apply(listener, socket, [bytes]);
  };
}

/** Process id of the client's backend; null before it is connected. */
export function backendPidOf(client: pg.Client): number | null {
  const pid: unknown = Reflect.get(client, 'processID');
  return typeof pid === 'number' ? pid : null;
}
