/** `npm run cluster -- up|down|status|wipe`: only the local servers, without a migration. */
import { Command } from 'commander';
import { localCluster } from './cluster/local.ts';
import type { LocalCluster } from './cluster/local.ts';

const program = new Command('npm run cluster --').description(
  'The servers of this checkout: PostgreSQL "source" and "target" and a Temporal development server with Web UI.\n' +
    'They listen on 127.0.0.1 on free ports, which are remembered in .local/.',
);

command('up', 'start the servers that are not up', async (cluster) => {
  await cluster.up();
  await print(cluster);
  const { local, data } = cluster.places;
  if (data !== local) {
    console.log(`data: ${data} (user postgres cannot enter ${local})`);
  }
  console.log(`then: . ${cluster.environmentFile} && psql service=source`);
});

command(
  'down',
  'stop the servers, and the worker and writer of npm start -- --keep',
  async (cluster) => {
    await cluster.down();
    console.log('everything is down; the data is kept (cluster wipe removes it)');
  },
);

command('status', 'show what is up; exits 1 unless all servers are', async (cluster) => {
  const allUp = await print(cluster);
  if (!allUp) process.exitCode = 1;
});

command('wipe', 'stop the servers and remove their data', async (cluster) => {
  await cluster.wipe();
  console.log(`removed the databases and workflows in ${cluster.places.data}`);
});

await program.parseAsync();

function command(name: string, text: string, act: (cluster: LocalCluster) => Promise<void>): void {
  program
    .command(name)
    .description(text)
    .action(async () => {
      try {
        await act(await localCluster());
      } catch (error) {
        console.error(`walferry: ${error instanceof Error ? error.message : String(error)}`);
        process.exitCode = 1;
      }
    });
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
