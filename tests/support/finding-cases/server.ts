/** Facts about the servers, their settings and sessions, each with the one finding that it gives. */
import { MigrationError } from '../../../contract/failure.ts';
import { type FailureCode } from '../../../contract/failure-catalogue.ts';
import { ENDPOINT, SERVER, SOURCE, TABLE, type Changes } from '../preflight-facts.ts';
import {
  type Case,
  SLOT,
  THERE,
  WRITTEN,
  source,
  target,
  objects,
  wal,
  KEY,
  SORTED,
  UNMEASURED,
  guarded,
} from './parts.ts';

/** The same for either side. */
function bothSides(side: 'source' | 'target'): Case[] {
  const failed = (code: FailureCode): Changes => ({
    failures: [{ side, failure: new MigrationError(code, 'it failed') }],
  });
  const link = (encrypted: boolean) => ({
    endpoints: {
      [side]: { link: { place: 'h:1', local: false, encrypted, verified: 'nothing' as const } },
    },
  });
  return [
    [`${side}-service`, 'error', failed('UnknownService')],
    [`${side}-unreachable`, 'error', failed('Unreachable')],
    [`${side}-denied`, 'error', failed('Denied')],
    [`${side}-not-inspected`, 'error', failed('Internal')],
    [`${side}-plain`, 'warning', link(false)],
    [`${side}-unverified`, 'warning', link(true)],
    [`${side}-pooled`, 'error', { endpoints: { [side]: { shared: true, proxied: true } } }],
    [`${side}-pooled`, 'error', { endpoints: { [side]: { lostSettings: ['TimeZone'] } } }],
    [
      `${side}-pooled`,
      'error',
      {
        failures: [
          { side, failure: new MigrationError('Unreachable', 'refused', { sqlstate: '08P01' }) },
        ],
      },
    ],
    [`${side}-balanced`, 'error', { endpoints: { [side]: { servers: 2, proxied: true } } }],
    [
      `${side}-session-role`,
      'error',
      {
        endpoints: { [side]: { session: { ...ENDPOINT.session, role: 'owner', overOwn: false } } },
      },
    ],
    [
      `${side}-damage-hidden`,
      'error',
      {
        endpoints: {
          [side]: { session: { ...ENDPOINT.session, hidingDamage: ['zero_damaged_pages'] } },
        },
      },
    ],
    [`${side}-proxied`, 'warning', { endpoints: { [side]: { proxied: true } } }],
    [`${side}-standby`, 'error', { [side]: { inRecovery: true } }],
    [`${side}-not-durable`, 'warning', { [side]: { notDurable: ['fsync'] } }],
    [`${side}-sessions`, 'warning', { [side]: { sessions: { most: 100, used: 95 } } }],
    [`${side}-transaction-age`, 'warning', { [side]: { age: { xids: 1.1e9, multixacts: 0 } } }],
    [`${side}-transaction-age`, 'error', { [side]: { age: { xids: 0, multixacts: 2.05e9 } } }],
  ];
}
export const SERVERS: readonly Case[] = [
  ...bothSides('source'),
  ...bothSides('target'),
  ['source-row-security', 'error', source({ rowSecurity: [TABLE] })],
  ['target-row-security', 'error', target({ tables: [{ ...THERE, rowSecurity: true }] })],
  ['same-database', 'error', target({ fingerprint: SERVER.fingerprint })],
  ['source-version', 'error', { source: { major: 12 }, target: { major: 12 } }],
  ['whole-tables', 'warning', { source: { major: 13 }, target: { major: 13 } }],
  ['target-older', 'warning', target({ major: 14 })],
  ['encoding', 'error', source({ encoding: 'LATIN1' })],
  ['encoding', 'error', source({ encoding: 'SQL_ASCII' })],
  ['encoding', 'error', target({ encoding: 'LATIN1' })],
  ['collation', 'warning', target({ locale: { ...SERVER.locale, provider: 'icu', locale: 'de' } })],
  [
    'collation-version',
    'note',
    {
      source: { locale: { ...SERVER.locale, version: '2.36' } },
      target: { locale: { ...SERVER.locale, version: '2.41' } },
    },
  ],
  ['collation-missing', 'error', target({ missingCollations: ['de_DE'] })],
  [
    'partition-key',
    'error',
    source({ partitionKeys: [{ ...KEY, strategy: 'h', enums: ['public.e'] }] }),
  ],
  [
    'partition-key',
    'error',
    source({ partitionKeys: [{ ...KEY, hashes: ['f'] }], hashes: new Map([['f', '1']]) }),
  ],
  ['partition-key', 'warning', source({ partitionKeys: [{ ...KEY, own: ['function public.f'] }] })],
  [
    'partition-key',
    'warning',
    source({ partitionKeys: [{ ...KEY, collations: [{ ...SORTED, version: '153' }] }] }),
  ],
  [
    'generated-reads',
    'warning',
    source({
      generatedReads: [
        { schema: 'public', name: 't', column: 'g', function: 'public.f', reads: [] },
      ],
    }),
  ],
  [
    'nullable-child',
    'error',
    {
      ...source({ nullableColumns: [{ schema: 'public', name: 't', column: 'n' }] }),
      target: { major: 18 },
    },
  ],
  ['binary-form', 'error', source({ textColumns: [{ schema: 'public', name: 't', column: 'r' }] })],
  ['time-zone', 'warning', { endpoints: { target: { defaults: new Map([['TimeZone', 'CET']]) } } }],
  [
    'settings-differ',
    'warning',
    { endpoints: { target: { defaults: new Map([['search_path', '']]) } } },
  ],
  ['database-settings', 'note', objects({ databaseSettings: ['work_mem'] })],
  [
    'source-replication-connection',
    'error',
    { endpoints: { source: { replication: new MigrationError('Denied', 'refused') } } },
  ],
  ['wal-level', 'error', source({ walLevel: 'replica' })],
  ['wal-limit', 'warning', wal({ keepBytes: 20e9 })],
  [
    'wal-limit',
    'error',
    wal({ keepBytes: 1e6, written: WRITTEN }, { relations: [{ ...TABLE, bytes: 0.9e9 }] }),
  ],
  ['old-snapshot', 'warning', source({ snapshotSeconds: 3600 })],
  ['old-snapshot', 'error', source({ snapshotSeconds: 0 })],
  ['slot-timeout', 'warning', wal({ idleTimeoutSeconds: 3600 })],
  ['decoding-memory', 'note', wal({ bufferBytes: 8 * 1024 ** 3 })],
  [
    'plugin-missing',
    'error',
    source({ plugin: { ...SOURCE.plugin, state: 'missing', numericAsText: null } }),
  ],
  ['plugin-refused', 'error', source({ outputPluginLibraries: 'pgoutput' })],
  [
    'plugin-options',
    'error',
    source({ plugin: { ...SOURCE.plugin, refusedOptions: ['format-version'] } }),
  ],
  [
    'open-transactions',
    'warning',
    source({ transactions: [{ pid: 7, prepared: null, database: 'app', seconds: 60 }] }),
  ],
  ['open-transactions', 'warning', source({ plugin: { ...SOURCE.plugin, state: 'blocked' } })],
  [
    'prepared-transactions',
    'warning',
    source({ transactions: [{ pid: null, prepared: 'g', database: 'app', seconds: 1 }] }),
  ],
  [
    'guard',
    'error',
    guarded({ query: { sql: 'select 1', ceiling: 1 } }, { failures: [UNMEASURED] }),
  ],
  ['guard-hidden', 'error', guarded({ activeSessions: 5 }, { seesOthers: false })],
  [
    'guard-exceeded',
    'warning',
    guarded(
      { activeSessions: 5 },
      { looks: [{ measure: 'activeSessions', ceiling: 5, value: 9 }] },
    ),
  ],
  ['guard-no-replica', 'warning', guarded({ replicaLagBytes: 5 }, { replicas: 0 })],
  ['no-free-slot', 'error', source({ slotsMax: 1, slots: [SLOT] })],
  ['no-free-sender', 'error', source({ senders: { max: 2, used: 2 } })],
  ['synchronous-standbys', 'warning', source({ synchronousStandbys: 'FIRST 1 (*)' })],
  ['last-sender', 'warning', source({ senders: { max: 2, used: 1 } })],
  [
    'source-replication',
    'error',
    source({
      plugin: { ...SOURCE.plugin, state: 'denied' },
      role: { ...SERVER.role, replication: false },
    }),
  ],
];
