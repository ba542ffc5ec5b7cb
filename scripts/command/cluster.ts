/** `walferry cluster up|down|status|wipe`: only the local servers, without a migration. */
import type { Command } from 'commander';
import type { LocalCluster } from '../local/cluster/local.ts';
import { OperatorError } from '../operator-error.ts';

export function declareCluster(program: Command): void {
  const group = program
    .command('cluster')
    .summary('start and stop local servers: two PostgreSQL and Temporal')
    .description(
      'The local servers: PostgreSQL "source" and "target" and a Temporal development server with Web UI.\n' +
        'They listen on 127.0.0.1 on free ports, which are remembered.',
    )
    .helpCommand(false);
  const declare = (
    name: string,
    text: string,
    act: (cluster: LocalCluster) => Promise<void>,
  ): void => {
    group
      .command(name)
      .description(text)
      .action(async () => {
        const { localCluster } = await import('../local/cluster/local.ts');
        await act(await localCluster()).catch((error: unknown) => {
          throw new OperatorError(error instanceof Error ? error.message : String(error));
        });
      });
  };
  declare('up', 'start the servers that are not up', up);
  declare('down', 'stop the servers, and the worker and writer of walferry demo --keep', down);
  declare('status', 'show what is up; exits 1 unless all servers are', status);
  declare('wipe', 'stop the servers and remove their data', wipe);
}

async function up(cluster: LocalCluster): Promise<void> {
  await cluster.up();
  await print(cluster);
  const { local, data } = cluster.places;
  if (data !== local) console.log(`data: ${data} (user postgres cannot enter ${local})`);
  console.log(`then: . ${cluster.environmentFile} && psql service=source`);
}

async function down(cluster: LocalCluster): Promise<void> {
  await cluster.down();
  console.log('everything is down; the data is kept (cluster wipe removes it)');
}

async function status(cluster: LocalCluster): Promise<void> {
  const allUp = await print(cluster);
  if (!allUp) process.exitCode = 1;
}

async function wipe(cluster: LocalCluster): Promise<void> {
  await cluster.wipe();
  console.log(`removed the databases and workflows in ${cluster.places.data}`);
}

async function print(cluster: LocalCluster): Promise<boolean> {
  const lines = await cluster.status();
  for (const { name, state, address, pid, logFile } of lines) {
    const words = [name.padEnd(9), state.padEnd(13), address.padEnd(16)];
    console.log(`${words.join(' ')} ${pid === undefined ? '' : `pid ${pid}`}  log ${logFile}`);
  }
  if (lines.some(({ name, state }) => name === 'temporal' && state === 'up')) {
    console.log(`Web UI: ${cluster.uiAddress}`);
  }
  return lines.every(({ state }) => state === 'up');
}
