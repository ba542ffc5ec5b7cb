/** `walferry replay`: can workers of this version continue a migration that older ones began? */
import type { Command } from 'commander';

export function declareReplay(program: Command): void {
  program
    .command('replay')
    .summary('check that workers of this version can continue a migration')
    .description(
      'Replays the history of a running migration with the workflow code of this version, to check that its workers can continue it.',
    )
    .argument('<workflow-id>', 'the migration')
    .addHelpText(
      'after',
      `
Run it before you update workers under a running migration. Reads the history, changes nothing.
Exit codes: 0 fits, 1 does not fit, 2 error.`,
    )
    .action(async (workflowId: string) => {
      const { replay } = await import('../replay/answer.ts');
      const code = await replay(workflowId);
      // Its native runtime keeps the process alive.
      process.exit(code);
    });
}
