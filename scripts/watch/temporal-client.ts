/** The Temporal client of the operator's scripts, configured like the CLI: `TEMPORAL_*` or a profile. */
import { Client, Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { OperatorError } from '../operator-error.ts';

/** A server that does not answer is reported within this time; the script itself decides whether to keep waiting. */
const CONNECT_TIMEOUT_MS = 5_000;

export interface TemporalClient extends AsyncDisposable {
  readonly client: Client;
  readonly address: string;
  readonly namespace: string;
}

/** No Temporal server answers. */
export class NoTemporal extends OperatorError {
  override readonly name = 'NoTemporal';
}

/** @throws NoTemporal naming the address that was tried. */
export async function connectTemporal(): Promise<TemporalClient> {
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  const address = connectionOptions.address ?? 'localhost:7233';
  try {
    const connection = await Connection.connect({
      ...connectionOptions,
      connectTimeout: CONNECT_TIMEOUT_MS,
    });
    return {
      client: new Client({ connection, namespace }),
      address,
      namespace,
      [Symbol.asyncDispose]: () => connection.close(),
    };
  } catch (error) {
    throw new NoTemporal(
      `no Temporal server answers at ${address} (TEMPORAL_ADDRESS); is it running?`,
      { cause: error },
    );
  }
}
