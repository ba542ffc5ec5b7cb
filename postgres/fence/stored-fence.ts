/**
 * The fences without a function on the source: `roles`, `command` and `none`. Their gate is on the target; what they take away is
 * stored there before it is taken. Nothing gives the writes back when everything of ours is gone: `open` has to run.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { FenceKind, FenceRights, InstallReport } from '../../contract/fence.ts';
import type { FenceTaking } from '../../contract/fence-change.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Selection } from '../catalog/selection.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import {
  armFenceGate,
  holdFenceGate,
  openFenceGate,
  readFenceGate,
  sealFenceGate,
  storeFenceGate,
} from '../store/fence-gate.ts';
import { refuseOvertaken } from '../store/epoch.ts';
import { readOutcome } from '../store/outcome.ts';
import { hasStore } from '../store/upgrade.ts';
import type { Arming, Fence, FencedInput } from './fence-contract.ts';
import { readFencedTables } from './fenced-tables.ts';
import { left, untilNoOneWrites, untilNoTableEnters } from './prove.ts';
import { refuseSubscribed } from './subscription.ts';

/** What differs between them. `take` and `give` are repeated after a failure. */
export interface Taking {
  readonly kind: Exclude<FenceKind, 'trigger'>;
  readonly rights: (source: pg.ClientBase, input: FencedInput) => Promise<FenceRights>;
  /** Refuses what could not be given back; changes nothing on the source. */
  readonly check: (source: Session, tables: readonly number[]) => Promise<void>;
  /** What it will take from these tables, by name. */
  readonly describe?: (source: Session, tables: readonly number[]) => Promise<FenceTaking[]>;
  /** What it has taken, by name. */
  readonly taken?: (
    source: Session,
    to: Pick<Noting, 'target' | 'migration'>,
  ) => Promise<FenceTaking[]>;
  /** In the transaction that arms the gate: notes on the target what will be taken. */
  readonly note: (source: Session, to: Noting) => Promise<void>;
  readonly take: (source: Session, to: Noting) => Promise<void>;
  readonly give: (source: Session, to: Noting) => Promise<void>;
  /** Whether the proof looks for writers; with `none` it is the operator's word, as ever. */
  readonly proves: boolean;
  /** Part of every proof: refuses when something was given since that should be taken. */
  readonly complete?: (source: Session, to: Pick<Noting, 'migration' | 'tables'>) => Promise<void>;
}

export interface Noting extends Pick<Arming, 'cutover' | 'rehearsal' | 'signal'> {
  readonly target: pg.ClientBase;
  readonly migration: Migration;
  /** Oids of the selected tables and their ancestors. */
  readonly tables: readonly number[];
}

interface Sides {
  readonly gate: Awaited<ReturnType<typeof readFenceGate>>;
  readonly tables: readonly number[];
}

export function storedFence(taking: Taking): Fence {
  return {
    kind: taking.kind,
    keeper: 'target',
    rights: taking.rights,
    install: (source, migration, { tables }, _work) => install(taking, source, migration, tables),
    gate: async (_source, migration) =>
      onTarget(migration, async (target) => {
        const gate = await readFenceGate(target, migration);
        return (
          gate && {
            state: gate.state,
            cutover: gate.cutover,
            deadline: gate.deadline,
            expired: gate.expired,
          }
        );
      }),
    arm: (source, migration, arming) => arm(taking, source, migration, arming),
    prove: async (source, migration, work, how) => {
      if (!taking.proves) return { holders: 0, ended: 0, waitedMs: 0 };
      const readSides = () =>
        onTarget(migration, async (target) => ({
          gate: await readFenceGate(target, migration),
          tables: await fencedOids(source, target, migration),
        }));
      const complete = async ({ gate = null, tables = [] }: Partial<Sides>) => {
        const listed = tables.map((oid) => ({ oid }));
        await refuseSubscribed(source, migration, listed);
        // A rehearsal proves without arming.
        if (gate === null || gate.state === 'open') return;
        await taking.complete?.(source, { migration, tables });
      };
      const { gate = null, tables = [] } = (await readSides()) ?? {};
      await complete({ gate, tables });
      const proof = await untilNoOneWrites(source, tables, work, how);
      if (gate === null) return proof;
      await untilNoTableEnters(source, tables, gate, work, left(how, proof));
      // Again: one that was waited for may have brought a table.
      await complete((await readSides()) ?? {});
      return proof;
    },
    seal: async (_source, migration, cutover) =>
      (await onTarget(migration, (target) => sealFenceGate(target, migration, cutover))) ?? false,
    open: (source, migration, cutover) => open(taking, source, migration, cutover),
    stays: async (source, migration) =>
      (await onTarget(
        migration,
        async (target) => (await taking.taken?.(source, { target, migration })) ?? [],
      )) ?? [],
    // Its gate goes with the control schema; what it took was given back by `open`.
    remove: () => Promise.resolve({ left: [] }),
  };
}

async function install(
  taking: Taking,
  source: Session,
  migration: Migration,
  selection: Selection,
): Promise<InstallReport> {
  const { tables } = await readFencedTables(source, selection);
  const oids = tables.map(({ oid }) => oid);
  await taking.check(source, oids);
  await onTarget(migration, (target) => storeFenceGate(target, migration, selection));
  const changes = (await taking.describe?.(source, oids)) ?? [];
  return {
    ...{ tables: tables.length, waiting: [], also: [], always: false },
    ...(changes.length === 0 ? {} : { changes }),
  };
}

async function arm(
  taking: Taking,
  source: Session,
  migration: Migration,
  { cutover, milliseconds, rehearsal, signal, scheduledAt }: Arming,
): Promise<{ deadline: string }> {
  await using target = await connectTarget(migration, 'cutover');
  const tables = await fencedOids(source, target, migration);
  const to = {
    ...{ target, migration, tables, cutover },
    ...(rehearsal === undefined ? {} : { rehearsal }),
    ...(signal === undefined ? {} : { signal }),
  };
  await taking.check(source, tables);
  // First the note, then the taking: a worker that dies in between leaves a note of rights that are still there, which `open` tolerates.
  const { deadline } = await inTransaction(target, async () => {
    const armed = await armFenceGate(target, migration, cutover, milliseconds);
    // The gate's row is locked: an undo that comes later finds it armed, and one that came before is seen here.
    if ((await readOutcome(target, cutover)) !== null) throw overtaken(migration);
    // The same for the first lease of another run, which overtakes this attempt before it waits for the gate (settleForgotten).
    await refuseOvertaken(target, migration, scheduledAt ?? null);
    if (armed.first) await taking.note(source, to);
    return armed;
  });
  await taking.take(source, to);
  // An attempt that was frozen until now, and undone meanwhile, has taken what no one else gives back.
  await inTransaction(target, async () => {
    const gate = await holdFenceGate(target, migration);
    if (gate !== null && gate.state !== 'open' && gate.cutover === cutover) return;
    await taking.give(source, to);
    throw overtaken(migration);
  });
  return { deadline };
}

export const overtaken = ({ source }: Migration): MigrationError =>
  new MigrationError(
    'FenceRefused',
    `the cutover was undone while the writes on "${source}" were being stopped: they are given back`,
  );

async function open(
  taking: Taking,
  source: Session,
  migration: Migration,
  cutover: string,
): Promise<void> {
  await onTarget(migration, (target) =>
    // One at a time: an attempt that still takes waits for the row, and then gives back itself.
    inTransaction(target, async () => {
      const gate = await holdFenceGate(target, migration);
      if (gate === null || gate.state === 'open' || gate.cutover !== cutover) return;
      await taking.give(source, { target, migration, tables: [], cutover });
      await openFenceGate(target, migration, cutover);
    }),
  );
}

async function fencedOids(
  source: Session,
  target: pg.ClientBase,
  migration: Migration,
): Promise<number[]> {
  const gate = await readFenceGate(target, migration);
  if (gate === null) return [];
  const { tables } = await readFencedTables(source, gate);
  return tables.map(({ oid }) => oid);
}

/** Null without a control schema: the migration has not begun, or has ended. */
async function onTarget<T>(
  migration: Migration,
  use: (target: pg.ClientBase) => Promise<T>,
): Promise<T | null> {
  await using target = await connectTarget(migration, 'cutover', { unregistered: 'any more' });
  return (await hasStore(target)) ? await use(target) : null;
}
