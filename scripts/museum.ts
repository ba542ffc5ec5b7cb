/**
 * `npm run museum [-- NAME …]`: takes every trap of tests/museum through a real migration and compares source and target
 * exactly. One line for each trap and a total; not zero when one failed.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { Command } from 'commander';
import { CHECKOUT } from './cluster/places.ts';

const program = new Command('npm run museum --')
  .description('Takes the traps of tests/museum through real migrations and compares both sides.')
  .argument('[names...]', 'only these traps (file names without .sql)')
  .option(
    '--on-17',
    "all of them on PostgreSQL 17 with wal2json 2.6 (npm run setup -- --versions), not on this machine's own",
  )
  .action((names: string[], { on17 }: { on17?: boolean }) => {
    const vitest = path.join(CHECKOUT, 'node_modules/vitest/vitest.mjs');
    const child = spawn(process.execPath, [vitest, 'run', '--project', 'museum'], {
      cwd: CHECKOUT,
      stdio: 'inherit',
      env: {
        ...process.env,
        WALFERRY_MUSEUM: names.join(' '),
        ...(on17 === true ? { WALFERRY_MUSEUM_ON: '17' } : {}),
      },
    });
    child.once('exit', (code) => (process.exitCode = code ?? 1));
  });

await program.parseAsync();
