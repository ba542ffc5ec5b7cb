/** What `pg` does not expose: the socket of a client, and its backend's process id. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';

export type Socket = Pick<
  NodeJS.ReadableStream,
  'pause' | 'resume' | 'on' | 'listeners' | 'removeAllListeners'
>;

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

/** What a diverted socket still does for the driver. */
export interface Diverted {
  readonly toDriver: (bytes: Buffer) => void;
  readonly restore: () => void;
}

/** From now on, passes everything that the socket reads to `read` instead of the driver. */
export function divert(socket: Socket, read: (bytes: Buffer) => void): Diverted {
  const driver = socket.listeners('data');
  const toDriver = (bytes: Buffer): void => {
    for (const listener of driver) Reflect.apply(listener, socket, [bytes]);
  };
  socket.removeAllListeners('data');
  socket.on('data', read);
  return {
    toDriver,
    restore: () => {
      socket.removeAllListeners('data');
      // The same functions: wrapping them would add a call for each copied chunk.
      for (const listener of driver) Reflect.apply(socket.on, socket, ['data', listener]);
    },
  };
}

/** Process id of the client's backend; null before it is connected. */
export function backendPidOf(client: pg.Client): number | null {
  const pid: unknown = Reflect.get(client, 'processID');
  return typeof pid === 'number' ? pid : null;
}
