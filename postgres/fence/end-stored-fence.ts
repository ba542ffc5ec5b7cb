/**
 * Ends a fence whose gate is on the target, without a worker: for whoever removes the control schema, and with it the only record of
 * what the fence has taken.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { hasFenceGates, openFenceGate, readFenceGate } from '../store/fence-gate.ts';
import { forgetFenceGrants, readFenceGrants } from '../store/fence-grant.ts';
import { decide, readOutcome } from '../store/outcome.ts';
import { giveBackStored } from './extras.ts';
import { describeAllRights } from './revoked.ts';
import { grantBack } from './write-right.ts';

/**
 * Decides a cutover that is open as undone, and gives back rights and settings; after a switch only the settings. Idempotent.
 * @returns what was done and what is left to a person, as sentences without a full stop; empty: nothing was taken.
 * @throws MigrationError `FenceRefused`; an error of the driver.
 */
export async function endStoredFence(
  source: pg.ClientBase,
  target: pg.ClientBase,
  migration: Migration,
): Promise<string[]> {
  if (!(await hasFenceGates(target))) return [];
  const done: string[] = [];
  const gate = await readFenceGate(target, migration);
  if (gate !== null && gate.state !== 'open' && gate.cutover !== null) {
    done.push(...(await openStored(source, target, migration, gate.cutover)));
  }
  const settings = await giveBackStored(source, target, migration);
  if (settings.length > 0) {
    done.push(`gave back on "${migration.source}" what the fence had set: ${settings.join(', ')}`);
  }
  return done;
}

async function openStored(
  source: pg.ClientBase,
  target: pg.ClientBase,
  migration: Migration,
  cutover: string,
): Promise<string[]> {
  // The outcome first, as in every undo: after a switch the old database stays closed.
  await decide(target, migration, cutover, 'undone');
  if ((await readOutcome(target, cutover))?.what === 'switched') {
    const grants = await readFenceGrants(target, migration);
    if (grants.length === 0) {
      return [
        `what the fence has closed on "${migration.source}" stays closed: the cutover has switched`,
      ];
    }
    // By name, because the only record of them goes with the control schema.
    const named = await describeAllRights(source, grants);
    return [
      `rights to write on "${migration.source}" (${grants.length}) stay revoked: the cutover has switched`,
      ...named.map(({ what, undo }) =>
        undo === undefined ? what : `${what}; to grant them back: ${undo}`,
      ),
    ];
  }
  return [await giveBackRights(source, target, migration, cutover)];
}

/**
 * Opens the old database after a switch back that no worker has finished, as openOld does: the new one is sealed, and the record of
 * what was revoked goes with the control schema.
 * @param reverse the way back of the migration, whose outcome is on the old database.
 * @returns as {@link endStoredFence}.
 */
export async function openReturned(
  old: pg.ClientBase,
  fresh: pg.ClientBase,
  migration: Migration,
  reverse: Migration,
): Promise<string[]> {
  if (!(await hasFenceGates(old)) || !(await hasFenceGates(fresh))) return [];
  const back = await readFenceGate(old, reverse);
  if (back === null || back.cutover === null || back.state === 'open') return [];
  if ((await readOutcome(old, back.cutover))?.what !== 'switched') return [];
  const gate = await readFenceGate(fresh, migration);
  if (gate === null || gate.cutover === null || gate.state === 'open') return [];
  return [await giveBackRights(old, fresh, migration, gate.cutover)];
}

async function giveBackRights(
  source: pg.ClientBase,
  target: pg.ClientBase,
  migration: Migration,
  cutover: string,
): Promise<string> {
  const grants = await readFenceGrants(target, migration);
  await grantBack(source, grants);
  await forgetFenceGrants(target, migration);
  await openFenceGate(target, migration, cutover);
  return grants.length === 0
    ? `if a command has stopped the writes on "${migration.source}", run its counterpart, the program of WALFERRY_FENCE_OPEN`
    : `granted back rights to write on "${migration.source}" (${grants.length})`;
}
