/** What stays on the servers on purpose when a migration ends: the side that the application left is closed for writes. */
import type { MigrationInput } from '../contract/input-schema.ts';
import type { Migration } from '../contract/migration.ts';
import { isFenced } from '../contract/cutover.ts';
import { cleanupCommand } from '../contract/shell-command.ts';
import type { Execution } from './execution.ts';

/** @param done whether the migration is complete: otherwise its fence was removed, or could not be, which the clean-up says. */
export function staysOf(
  { input, migration, state: { course }, openFence }: Execution,
  done: boolean,
): string[] {
  if (!done || !isFenced(input)) return [];
  const newest = course?.cutovers.at(-1);
  const returned = newest?.kind === 'switchback' && newest.end?.how === 'done';
  const closed = returned ? migration.target : migration.source;
  return [closedText(input, migration, closed), ...(openFence === undefined ? [] : [openFence])];
}

function closedText({ fence }: MigrationInput, migration: Migration, closed: string): string {
  if (fence !== 'trigger') {
    return `"${closed}" stays closed for writes, as its fence left it (${fence}): on purpose, because the application is on the other side`;
  }
  return `the fence on "${closed}" (schema walferry_fence) stays sealed, on purpose: the application is on the other side. When no one can write there by mistake any more, remove it: ${cleanupCommand(migration, migration.workflowId)}`;
}
