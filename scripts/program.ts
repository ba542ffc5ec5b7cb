/**
 * The command line of walferry: every command, its help and its exit codes. The modules in command/ only declare words and
 * options; what a command does is imported when it runs, so that `walferry --help` does not load drivers and SDKs.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError } from 'commander';
import { declareCleanup } from './command/cleanup.ts';
import { declareCluster } from './command/cluster.ts';
import { declareCompare } from './command/compare.ts';
import { declareCompletion } from './command/completion.ts';
import { declareCutoverForceUndo } from './command/cutover-force-undo.ts';
import { declareDemo } from './command/demo.ts';
import { declarePreflight } from './command/preflight.ts';
import { declareReplay } from './command/replay.ts';
import { declareReport } from './command/report.ts';
import { declareSetup } from './command/setup.ts';
import { declareTail } from './command/tail.ts';
import { declareWatch } from './command/watch.ts';
import { declareWorker } from './command/worker.ts';
import { declareWriter } from './command/writer.ts';
import { PACKAGE } from './local/package.ts';
import { ERROR, OperatorError } from './operator-error.ts';

/** In the order of a migration, then what a person uses to try it. */
const DECLARATIONS = [
  ...[declareWorker, declarePreflight, declareWatch, declareReport, declareCompare, declareCleanup],
  declareCutoverForceUndo,
  ...[declareTail, declareReplay, declareDemo, declareCluster, declareSetup, declareWriter],
  declareCompletion,
];

const program = new Command('walferry')
  .description('Moves a live PostgreSQL database to another one as a Temporal workflow.')
  .version(version(), '-V, --version', 'print the version')
  .helpOption('-h, --help', 'print the help of walferry or of one command')
  .helpCommand(false)
  .showHelpAfterError('(--help shows what is possible)')
  .configureHelp({ subcommandTerm: (command) => command.name() })
  // Before the commands, which inherit it.
  .exitOverride()
  .addHelpText(
    'after',
    '\nwalferry COMMAND --help shows arguments, options, examples and exit codes.',
  );
for (const declare of DECLARATIONS) declare(program);

try {
  await program.parseAsync();
} catch (error) {
  // At once: the native runtime of a replay would keep the process alive.
  process.exit(report(error));
}

/** @returns the exit code. What is a defect of walferry is printed with its stack; the parser prints its own errors. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : ERROR;
  if (error instanceof OperatorError) {
    console.error(`${process.argv[2] ?? 'walferry'}: ${error.message}`);
  } else {
    console.error(error);
  }
  return ERROR;
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(path.join(PACKAGE, 'package.json'), 'utf8'));
  const known = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  return known ? String(manifest.version) : 'unknown';
}
