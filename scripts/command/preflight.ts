/** `walferry preflight`: what preflight of the workflow would find, before anything is started. */
import type { Command } from 'commander';

interface Options {
  readonly workflowId: string;
  readonly json: boolean;
}

export function declarePreflight(program: Command): void {
  program
    .command('preflight')
    .summary('check both databases of a migration, changing nothing')
    .description(
      'Checks both databases of a migration as its first step does, and shows every finding.',
    )
    .argument('<file>', 'the input of the migration, as for temporal workflow start --input-file')
    .option('--workflow-id <id>', 'the id that the migration will have: finds leftovers of it', '')
    .option('--json', 'print one JSON object', false)
    .addHelpText(
      'after',
      `
Examples:
  walferry preflight migration.json
  walferry preflight migration.json --workflow-id orders
  walferry preflight migration.json --json

Needs the two databases and the files behind PGSERVICEFILE and PGPASSFILE; no Temporal. Changes nothing, except that a
temporary slot exists on the source for a moment. The same code runs as the first step of the workflow, on a worker.
Exit codes: 0 ready (warnings and notes may be shown), 1 errors found, 2 the input is unusable.`,
    )
    .action(async (file: string, options: Options) => {
      const { preflight } = await import('../preflight/rehearsal.ts');
      process.exitCode = await preflight(file, options);
    });
}
