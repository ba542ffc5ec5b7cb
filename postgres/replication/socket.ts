/** What `pg` has no public way to: the socket below a client, and its backend's process id. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';

export type Socket = Pick<
  NodeJS.ReadableStream,
  'pause' | 'resume' | 'on' | 'listeners' | 'removeAllListeners'
>;

/** The socket (TLS or not) below a connected client. */
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
 * Has all that the socket reads from now on given to the caller instead of the driver.
 * @returns what gives bytes to the driver.
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
