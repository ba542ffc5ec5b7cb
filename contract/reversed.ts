/** The way back: a migration of its own, from the new database to the old one. Pure, because workflow code names it, too. */
import type { Migration } from './migration.ts';
import { slotName } from './slot-name.ts';

/** Ids of migrations are UUIDs, so none of them ends like this. */
const ENDING = '-back';

/**
 * The migration in the other direction. Its id differs, so neither migration finds the other's rows, sessions or messages; its
 * slot's name has the same prefix, so leftovers of both are found by the workflow id.
 */
export function reverseOf({ id, workflowId, source, target }: Migration): Migration {
  const reverse = id + ENDING;
  return {
    id: reverse,
    workflowId,
    source: target,
    target: source,
    slot: slotName(workflowId, reverse),
  };
}

/** Whether the id is that of a way back. */
export function isReverse(id: string): boolean {
  return id.endsWith(ENDING);
}

/** A text of the other direction, as the operator reads it on the way back: to them, the source is still the old database. */
export function inReverse(text: string): string {
  return text
    .replaceAll(/\b([Tt]he) source\b/g, '$1 new database')
    .replaceAll(/\b([Tt]he) target\b/g, '$1 old database')
    .replaceAll(/\bof source and target\b/g, 'of both databases')
    .replaceAll(/\bbetween source and target\b/g, 'between the databases');
}

/** What is said of both sides of a migration, as the way back says it ({@link inReverse}): its source is the migration's target. */
export function inOtherDirection(what: string): string {
  return what
    .replace(/^is (.+) on the source, (.+) on the target$/, 'is $2 on the target, $1 on the source')
    .replaceAll(/\bthe source\b/g, 'the old database')
    .replaceAll(/\bthe target\b/g, 'the new database');
}

/** The id that both directions of a migration share: that of its workflow's first run. */
export function sharedId(id: string): string {
  return isReverse(id) ? id.slice(0, -ENDING.length) : id;
}
