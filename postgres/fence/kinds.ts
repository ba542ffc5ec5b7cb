/** Every kind of fence behind one interface (fence-contract.ts). */
import { MigrationError } from '../../contract/failure.ts';
import {
  MOST_NAMED,
  type FenceInput,
  type FenceExtras,
  type FenceKind,
} from '../../contract/fence.ts';
import { listed } from '../../contract/listed.ts';
import { classify } from '../connection/failure.ts';
import { forgetFenceGrants, readFenceGrants, storeFenceGrants } from '../store/fence-grant.ts';
import type { Fence } from './fence-contract.ts';
import { armGate, openGate, readGate, sealGate } from './gate.ts';
import { commandsOf, runOperatorCommand } from './operator-command.ts';
import { probeFence } from './probe-fence.ts';
import { removeFenceFrom } from './remove-fence.ts';
import { describeRights } from './revoked.ts';
import { commandRights, noRights, roleRights, triggerRights } from './rights.ts';
import { storedFence } from './stored-fence.ts';
import { installFence, proveFence } from './trigger-fence.ts';
import { takesAny, withExtras } from './with-extras.ts';
import { grantBack, readWriteRights, revokeRights } from './write-right.ts';

const trigger: Fence = {
  kind: 'trigger',
  keeper: 'source',
  rights: triggerRights,
  install: installFence,
  gate: readGate,
  arm: (source, migration, arming) =>
    classified('arming', () => armGate(source, migration, arming)),
  prove: proveFence,
  probe: probeFence,
  seal: (source, migration, cutover) =>
    classified('sealing', () => sealGate(source, migration, cutover)),
  open: (source, migration, cutover) =>
    classified('opening', () => openGate(source, migration, cutover)),
  remove: (source, migration, work) =>
    classified('removing', () => removeFenceFrom(source, migration, work)),
};

async function classified<T>(doing: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw classify(error, { step: `${doing} the fence`, side: 'source' }, 'FenceRefused');
  }
}

const roles = storedFence({
  kind: 'roles',
  rights: roleRights,
  proves: true,
  check: async (source, tables) => {
    const lost = (await readWriteRights(source, tables)).filter(({ restorable }) => !restorable);
    if (lost.length === 0) return;
    throw new MigrationError(
      'FenceRefused',
      `rights to write could not be granted back exactly, so none is revoked: those granted by ${listed([...new Set(lost.map(({ grantor }) => grantor))], MOST_NAMED)}`,
    );
  },
  complete: async (source, { migration, tables }) => {
    const again = await readWriteRights(source, tables);
    if (again.length === 0) return;
    throw new MigrationError(
      'FenceRefused',
      `the fence on "${migration.source}" does not bind: rights to write were granted since, to ${listed([...new Set(again.map(({ grantee }) => grantee ?? 'public'))], MOST_NAMED)}`,
    );
  },
  describe: async (source, tables) => describeRights(source, await readWriteRights(source, tables)),
  taken: async (source, { target, migration }) =>
    describeRights(source, await readFenceGrants(target, migration)),
  note: async (source, { target, migration, tables }) =>
    storeFenceGrants(target, migration, await readWriteRights(source, tables)),
  take: async (source, { target, migration }) =>
    classified('arming', async () =>
      revokeRights(source, await readFenceGrants(target, migration)),
    ),
  give: async (source, { target, migration }) =>
    classified('opening', async () => {
      await grantBack(source, await readFenceGrants(target, migration));
      await forgetFenceGrants(target, migration);
    }),
});

const command = storedFence({
  kind: 'command',
  rights: commandRights,
  proves: true,
  check: () => Promise.resolve(void commandsOf()),
  note: () => Promise.resolve(),
  take: (_source, to) => runOperatorCommand(commandsOf(), { action: 'close', ...to }),
  give: (_source, to) => runOperatorCommand(commandsOf(), { action: 'open', ...to }),
});

const none = storedFence({
  kind: 'none',
  rights: () => Promise.resolve(noRights),
  proves: false,
  check: () => Promise.resolve(),
  note: () => Promise.resolve(),
  take: () => Promise.resolve(),
  give: () => Promise.resolve(),
});

const FENCES: Readonly<Record<FenceKind, Fence>> = { trigger, roles, command, none };

/** @param extras what it takes in addition. */
export function fenceOf(kind: FenceKind, extras?: FenceExtras): Fence {
  const fence = FENCES[kind];
  return takesAny(extras) ? withExtras(fence, extras) : fence;
}

/** The kind that an input asks for; inputs of earlier code ask for none. */
export const fenceAsked = ({ fence }: FenceInput): FenceKind => fence ?? 'none';

/** The fence of an input. */
export const fenceFor = (input: FenceInput): Fence => fenceOf(fenceAsked(input), input.fenceExtras);
