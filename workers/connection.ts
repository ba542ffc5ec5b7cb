/**
 * The connection to the Temporal server: found as the Temporal CLI finds it (TEMPORAL_… variables, temporal.toml), and
 * retried until it answers, because a worker is often started before its server.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { NativeConnection, type Logger } from '@temporalio/worker';
import { CONNECT_FIRST_MS, CONNECT_LONGEST_MS } from './options.ts';

const DEFAULT_ADDRESS = 'localhost:7233';

export interface TemporalConnection {
  readonly connection: NativeConnection;
  readonly address: string;
  readonly namespace: string;
}

/** Connects, however long it takes; until then it logs what is missing and what to do. */
export async function connectTemporal(logger: Logger): Promise<TemporalConnection> {
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  const address = connectionOptions.address ?? DEFAULT_ADDRESS;
  for (let pause = CONNECT_FIRST_MS, attempt = 1; ; attempt++) {
    try {
      // Eager: it rejects when the server is down, which would otherwise end the worker.
      const connection = await NativeConnection.connect(connectionOptions);
      return { connection, address, namespace };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      logger.warn(
        `the Temporal server at ${address} does not answer; start it or set TEMPORAL_ADDRESS; next attempt in ${pause / 1000} s`,
        { attempt, reason },
      );
      await sleep(pause);
      pause = Math.min(pause * 2, CONNECT_LONGEST_MS);
    }
  }
}
