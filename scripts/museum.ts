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
  .action((names: string[]) => {
    const vitest = path.join(CHECKOUT, 'node_modules/vitest/vitest.mjs');
    const child = spawn(process.execPath, [vitest, 'run', '--project', 'museum'], {
      cwd: CHECKOUT,
      stdio: 'inherit',
      env: { ...process.env, WALFERRY_MUSEUM: names.join(' ') },
    });
    child.once('exit', (code) => (process.exitCode = code ?? 1));
  });

await program.parseAsync();
