/** Commands that a message gives for pasting into a shell. A workflow id may hold anything. */
import type { Migration } from './migration.ts';

/** One word for a POSIX shell, quoted only if needed. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Shows every difference of definitions, with the SQL for the target. */
export function compareCommand(
  { source, target }: Pick<Migration, 'source' | 'target'>,
  workflowId: string,
): string {
  return `walferry compare ${source} ${target} --migration ${shellWord(workflowId)}`;
}

/** Removes what a migration left behind, by its workflow id. */
export function cleanupCommand(
  { source, target }: Pick<Migration, 'source' | 'target'>,
  workflowId: string,
): string {
  return `walferry cleanup ${source} ${target} --workflow-id ${shellWord(workflowId)}`;
}
