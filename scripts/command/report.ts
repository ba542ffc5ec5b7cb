/** `walferry report`: what a migration did, to hand on. */
import { Option, type Command } from 'commander';

export function declareReport(program: Command): void {
  program
    .command('report')
    .summary('print what a migration did, to hand on')
    .description(
      'Prints what a migration did: what moved, times, downtime, faults, approvals, what is left.',
    )
    .argument('<workflow-id>', 'the migration: running, finished, failed or aborted')
    .addOption(
      new Option('--format <format>', 'md: Markdown; html: one file, with a chart of the lag')
        .choices(['md', 'json', 'html'])
        .default('md'),
    )
    .addHelpText(
      'after',
      `
Examples:
  walferry report orders
  walferry report orders --format html > orders.html

Reads the histories that the Temporal server has, and asks a worker if one answers. Needs no database.
Exit codes: 0 printed, 2 unknown id or no server.`,
    )
    .action(async (workflowId: string, { format }: { format: 'md' | 'json' | 'html' }) => {
      const { report } = await import('../report/reporter.ts');
      process.exitCode = await report(workflowId, format);
    });
}
