/**
 * What belongs to walferry in a database: schemas and triggers that no selection, dump, comparison or drift check may take for the
 * operator's. The control schema is on the target; the fence is on both sides.
 */

/** Schema of the gate and of the functions of all fences of a database. */
export const FENCE_SCHEMA = 'walferry_fence';

/** How the names of the fence's triggers begin. `~` sorts after every letter: the application's own BEFORE triggers fire first. */
export const FENCE_TRIGGER = '~walferry_fence';

/** For `nspname not in (…)`: schemas with objects that no user made. */
export const SYSTEM_SCHEMAS = /* sql */ `'information_schema', 'walferry', '${FENCE_SCHEMA}'`;

/** Condition for a trigger (alias of pg_trigger) that is none of a fence's. */
export const notOfFence = (trigger: string): string =>
  /* sql */ `${trigger}.tgname::pg_catalog.text not like '${FENCE_TRIGGER}%'`;
