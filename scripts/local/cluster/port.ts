/**
 * Free TCP ports. They are below the range that operating systems use for outgoing connections (32768 and up on Linux,
 * 49152 on macOS), so that a remembered port is still free after a restart; standard ports are not used.
 */
import { createServer } from 'node:net';

const FIRST_PORT = 20_000;
const LAST_PORT = 29_999;
const ATTEMPTS = 200;

/** Everything here listens on this address only: the demonstration servers are not reachable from other machines. */
export const LOOPBACK = '127.0.0.1';

/** True when no process listens on the port, on any local address. */
async function isFree(port: number): Promise<boolean> {
  // Both are tested: a listener on one address does not keep another address from being bound.
  return (await canListen(port, LOOPBACK)) && (await canListen(port, undefined));
}

/** The preferred port when it is free, otherwise a random free one that is not in `taken`. */
export async function freePort(
  preferred?: number,
  taken: ReadonlySet<number> = new Set(),
): Promise<number> {
  if (preferred !== undefined && !taken.has(preferred) && (await isFree(preferred))) {
    return preferred;
  }
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    // Random, because two simultaneous runs would both choose the first free one.
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT + 1));
    if (!taken.has(port) && (await isFree(port))) return port;
  }
  throw new Error(`no free TCP port found between ${FIRST_PORT} and ${LAST_PORT}`);
}

function canListen(port: number, host: string | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
