/** Tries entries of the schema in one transaction on the target, which is rolled back. */
import { rolledBack } from '../../connection/in-transaction.ts';
import type pg from 'pg';
import type { Work } from '../../../contract/work.ts';
import type { PlannedEntry } from '../../archive/entry-phase.ts';
import {
  aboutOthers,
  carryOver,
  isEmptyComment,
  nameOther,
} from '../../archive/existing-object.ts';
import { OwnerRights, splitOwner } from '../../archive/owner.ts';
import { PINNED_FOR_ROWS, setFor } from '../../connection/apply-settings.ts';
import { type Defaults } from '../../connection/defaults.ts';
import { useApplicationSettings } from '../../schema/application-settings.ts';
import { runEntry } from '../../schema/run-entry.ts';
import { attempted } from '../attempt.ts';
import type { Found } from './found.ts';
import { dependsOnFailed, plainRun } from './group.ts';
import { WatchedTriggers } from './watched-trigger.ts';

/** One transaction, rolled back. */
export async function tryGroup(
  client: pg.Client,
  group: readonly PlannedEntry[],
  created: ReadonlySet<number>,
  {
    found,
    defaults,
    work,
  }: { found: Found; defaults: Defaults; work: Pick<Work, 'signal' | 'beat'> },
): Promise<void> {
  const stored = (entry: PlannedEntry) => ({ ...entry, depends: entry.dependencies });
  const others = aboutOthers(group.map(stored), created);
  return rolledBack(client, async () => {
    const triggers = await WatchedTriggers.read(client);
    const rights = new OwnerRights(client);
    const trial = { found, triggers, rights, defaults };
    for (let at = 0; at < group.length;) {
      work.signal.throwIfAborted();
      work.beat({ step: 'trying the schema on the target', done: at, total: group.length });
      const run = plainRun(group, at, found.failed);
      at += run.length;
      if (run.length > 1 && (await tryTogether(client, run, trial))) continue;
      for (const entry of run) {
        work.signal.throwIfAborted();
        work.beat({ step: 'trying the schema on the target', done: at, total: group.length });
        // Dependents of a failed entry fail for that reason. An event trigger would fire for the rest of the rehearsal, so
        // neither it nor its dependents are tried.
        const untriable = entry.kind === 'EVENT TRIGGER';
        if (untriable || dependsOnFailed(entry, found.failed)) found.failed.add(entry.id);
        if (found.failed.has(entry.id)) continue;
        if (others.has(entry.id)) {
          await rights.takeBack();
          await tryOther(client, entry, trial);
        } else await tryEntry(client, entry, trial);
        found.tried.add(entry.id);
      }
    }
  });
}

interface Trial {
  readonly found: Found;
  readonly triggers: WatchedTriggers;
  readonly rights: OwnerRights;
  readonly defaults: Defaults;
}

/** Tries entries in one message, to save a round trip and three savepoints for each. @returns whether all succeeded. */
async function tryTogether(
  client: pg.Client,
  run: readonly PlannedEntry[],
  { found, rights, defaults }: Trial,
): Promise<boolean> {
  const owned = new Map(
    run.map((one) => [JSON.stringify([one.schema, splitOwner(one.sql).owner]), one]),
  );
  for (const one of owned.values()) {
    // Outside the next savepoint, whose rollback would undo the grant.
    if ((await attempted(client, () => rights.lend(one))) !== null) return false;
  }
  const refused = await attempted(client, () =>
    underDefaults(client, run[0], defaults, () =>
      client.query(run.map(({ sql }) => sql).join('\n')),
    ),
  );
  if (refused !== null) return false;
  for (const { id } of run) found.tried.add(id);
  return true;
}

/** Entries after the rows run with the application's defaults: their functions may use unqualified names. */
async function underDefaults(
  client: pg.Client,
  entry: PlannedEntry | undefined,
  defaults: Defaults,
  run: () => Promise<unknown>,
): Promise<void> {
  const late = entry !== undefined && entry.phase !== 'tables';
  if (late) await useApplicationSettings(client, defaults, { schema: entry.schema, tables: [] });
  await run();
  if (late) await setFor('transaction', client, PINNED_FOR_ROWS);
}

async function tryOther(client: pg.Client, entry: PlannedEntry, trial: Trial): Promise<void> {
  const { found, triggers } = trial;
  let done = true;
  const refusal = await triggers.run(client, async () => {
    done = await carryOver(client, entry.sql);
  });
  if (refusal !== null) found.note(entry, refusal, null);
  else if (!done && !isEmptyComment(entry) && !found.tried.has(entry.id)) {
    const grants = entry.kind === 'ACL' ? entry.sql.replaceAll('\n', ' ') : null;
    found.others.push({ name: nameOther(entry), grants });
  }
}

/** Creates the object, then sets its owner; the fix depends on which of the two is refused. */
async function tryEntry(
  client: pg.Client,
  entry: PlannedEntry,
  { found, triggers, rights, defaults }: Trial,
): Promise<void> {
  const { made, handed, owner } = splitOwner(entry.sql);
  const refusal = await triggers.run(client, () =>
    underDefaults(client, entry, defaults, () => runEntry(client, { ...entry, sql: made }, rights)),
  );
  if (refusal !== null) found.note(entry, refusal, null);
  if (refusal?.done === false) return;
  if (handed === null || owner === null) return;
  const lent = await triggers.run(client, () => rights.lend(entry));
  if (lent !== null && entry.schema !== null) {
    const pair = { schema: entry.schema, owner };
    found.owners.set(JSON.stringify(pair), pair);
    return;
  }
  const denied = await triggers.run(client, () => client.query(handed));
  if (denied !== null) found.note(entry, denied, owner);
}
