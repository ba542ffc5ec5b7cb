/** Facts about the way back, each with the one finding that it gives. */
import type { DecodingFacts, ReturningFacts } from '../../../postgres/preflight/facts/returning.ts';
import type { PluginFacts } from '../../../postgres/preflight/facts/plugin.ts';
import { TABLE } from '../preflight-facts.ts';
import { NUMERIC, source, target, type Case } from './parts.ts';

const USABLE: PluginFacts = {
  state: 'usable',
  numericAsText: true,
  refusedOptions: [],
  blockers: [],
};
const READY: DecodingFacts = {
  walLevel: 'logical',
  slots: { used: 0, max: 10 },
  senders: { used: 0, max: 10 },
  idleSeconds: 0,
  keepBytes: null,
  plugin: USABLE,
  outputPluginLibraries: null,
  existing: [TABLE],
};
const WRITABLE: ReturningFacts = { mayCreate: true, mayReplicate: true, closed: [], firing: [] };

const decoding = (changes: Partial<DecodingFacts>) =>
  target({ decoding: { ...READY, ...changes } });
const plugin = (changes: Partial<PluginFacts>) => decoding({ plugin: { ...USABLE, ...changes } });
const returning = (changes: Partial<ReturningFacts>) =>
  source({ returning: { ...WRITABLE, ...changes } });
const KEYLESS = { ...TABLE, key: null };

export const WAY_BACK_CASES: readonly Case[] = [
  ['way-back-wal-level', 'error', decoding({ walLevel: 'replica' })],
  ['way-back-plugin', 'error', plugin({ state: 'missing' })],
  ['way-back-plugin', 'error', plugin({ state: 'refused' })],
  ['way-back-plugin', 'error', decoding({ outputPluginLibraries: 'pgoutput' })],
  ['way-back-plugin', 'error', plugin({ refusedOptions: ['include-lsn'] })],
  ['way-back-slot', 'error', decoding({ slots: { used: 10, max: 10 } })],
  ['way-back-slot', 'error', decoding({ senders: { used: 10, max: 10 } })],
  ['way-back-replication', 'error', plugin({ state: 'denied' })],
  ['way-back-identity', 'error', decoding({ existing: [{ ...KEYLESS, identity: 'd' }] })],
  ['way-back-limit', 'warning', decoding({ idleSeconds: 3600 })],
  ['way-back-limit', 'warning', decoding({ keepBytes: 1e9 })],
  [
    'way-back-numbers',
    'warning',
    {
      ...plugin({ numericAsText: false }),
      ...source({ relations: [{ ...TABLE, columns: NUMERIC }] }),
    },
  ],
  [
    'way-back-numbers',
    'error',
    decoding({
      plugin: { ...USABLE, numericAsText: false },
      existing: [{ ...KEYLESS, identity: 'f', columns: NUMERIC }],
    }),
  ],
  ['way-back-fence', 'error', { ...returning({}), input: { switchback: '24h' } }],
  ['way-back-schema', 'error', returning({ mayCreate: false })],
  ['way-back-replica-role', 'error', returning({ mayReplicate: false })],
  ['way-back-write', 'error', returning({ closed: [TABLE] })],
  ['way-back-triggers', 'warning', returning({ firing: ['trigger a of public.t'] })],
];
