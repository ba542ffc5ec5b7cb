/**
 * A server behind a proxy that a test can slow down or cut silently: connections stay up, but no answer arrives.
 */
import { connect as dial, createServer, type Socket } from 'node:net';
import { LOOPBACK } from '../../scripts/local/cluster/port.ts';
import type { PostgresServer } from '../../scripts/local/cluster/postgres-server.ts';
import { addService } from './database.ts';

/** The first bytes of a session distinguish it: application_name, database, replication. */
const GREETING_BYTES = 4_096;

export interface Wire extends AsyncDisposable {
  /** Service that leads through it. */
  readonly service: string;
  /**
   * From now on no answer arrives over existing connections whose greeting matches; new ones work.
   */
  mute(which: RegExp): number;
  /** From now on nothing passes in either direction, over new connections neither, as behind a router that swallows packets. */
  cut(): void;
  /** New connections work again; those of before are lost. */
  heal(): void;
  /** From now on the server's bytes come at this rate, over all connections. */
  slow(bytesPerSecond: number): void;
}

/** @param database a service of this run, whose name is that of its database. */
export async function wireTo(server: PostgresServer, database: string): Promise<Wire> {
  const lines = new Set<Line>();
  let rate = Infinity;
  let isCut = false;
  const listener = createServer((client) => {
    const line = new Line(client, server.port ?? 0, () => rate);
    line.cut = isCut;
    lines.add(line);
    client.once('close', () => lines.delete(line));
  });
  await new Promise<void>((resolve) => listener.listen(0, LOOPBACK, resolve));
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const service = `wire_${database}`;
  const { role, password } = server.spec;
  // The password file matches by port.
  addService(service, {
    ...{ host: LOOPBACK, port: String(address.port), dbname: database },
    ...{ user: role, password },
  });
  return {
    service,
    mute: (which) => {
      const some = [...lines].filter(({ greeting }) => which.test(greeting));
      for (const line of some) line.muted = true;
      return some.length;
    },
    cut: () => {
      isCut = true;
      for (const line of lines) line.cut = true;
    },
    heal: () => {
      isCut = false;
      for (const line of lines) if (line.cut) line.end();
    },
    slow: (bytesPerSecond) => (rate = bytesPerSecond),
    [Symbol.asyncDispose]: async () => {
      for (const line of lines) line.end();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

class Line {
  greeting = '';
  muted = false;
  cut = false;
  readonly #ends: readonly [Socket, Socket];

  constructor(client: Socket, port: number, rate: () => number) {
    const server = dial(port, LOOPBACK);
    this.#ends = [client, server];
    for (const one of this.#ends) one.on('error', () => undefined).on('close', () => this.end());
    client.on('data', (data) => {
      if (this.cut) return;
      if (this.greeting.length < GREETING_BYTES) this.greeting += data.toString('latin1');
      server.write(data);
    });
    server.on('data', (data) => {
      if (this.muted || this.cut) return;
      client.write(data);
      const ms = (1000 * data.length) / rate();
      if (ms < 1) return;
      server.pause();
      setTimeout(() => server.resume(), ms);
    });
  }

  end(): void {
    for (const one of this.#ends) one.destroy();
  }
}
