/**
 * `npm run fidelity [-- NAME …]`: moves every case of tests/fidelity in a real migration and compares source and target
 * exactly. Prints one line for each case and a total; exits non-zero when a case failed.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { Command } from 'commander';
import { PACKAGE } from '../local/package.ts';

const program = new Command('npm run fidelity --')
  .description('Moves the cases of tests/fidelity in real migrations and compares both sides.')
  .argument('[names...]', 'only these cases (file names without .sql)')
  .option(
    '--on-17',
    "run on PostgreSQL 17 with wal2json 2.6 (npm run setup -- --versions) instead of this machine's PostgreSQL",
  )
  .action((names: string[], { on17 }: { on17?: boolean }) => {
    const vitest = path.join(PACKAGE, 'node_modules/vitest/vitest.mjs');
    const child = spawn(process.execPath, [vitest, 'run', '--project', 'fidelity'], {
      cwd: PACKAGE,
      stdio: 'inherit',
      env: {
        ...process.env,
        WALFERRY_FIDELITY: names.join(' '),
        ...(on17 === true ? { WALFERRY_FIDELITY_ON: '17' } : {}),
      },
    });
    child.once('exit', (code) => (process.exitCode = code ?? 1));
  });

await program.parseAsync();
