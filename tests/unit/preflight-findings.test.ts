/**
 * A check gives every code of the catalogue, in each of its levels, for exactly the facts that it is about. A code
 * without a case here fails the last test.
 */
import type { GuardFacts } from '../../postgres/preflight/facts/measured-guard.ts';
import type { RehearsalFacts } from '../../postgres/preflight/rehearsal/rehearsal-facts.ts';
import { expect, it } from 'vitest';
import { catalogue, type SourceFacts, type TargetFacts } from '../../postgres/preflight/checks.ts';
import { noteFindings, renderFindings, type Level } from '../../contract/finding.ts';
import { MigrationError, type FailureCode } from '../../contract/failure.ts';
import { slotName } from '../../contract/migration.ts';
import type { PartitionKey } from '../../postgres/catalog/partition-key.ts';
import type { Relation } from '../../postgres/catalog/relation.ts';
import type { RootFacts } from '../../postgres/preflight/facts/target-roots.ts';
import type { TargetTable } from '../../postgres/preflight/facts/target-tables.ts';
import { OutOfLocks } from '../../postgres/dump/lock-table-full.ts';
import {
  ENDPOINT,
  findings,
  SERVER,
  SOURCE,
  TABLE,
  TARGET,
  type Changes,
} from '../support/preflight-facts.ts';

type Case = readonly [code: string, level: Level, changes: Changes];

const { columns: BIGINT } = TABLE;
const NUMERIC = BIGINT.map((one) => ({ ...one, typeOid: 1700 }));
const CI = { name: 'public.ci', provider: 'i', locale: 'und-u-ks-level2', deterministic: false };
const RIGHTS = { schema: 'app', owner: 'boss', stock: false, grants: [] };
const GIGABYTES = [{ ...TABLE, bytes: 500 * 1024 ** 3 }];
const SLOT = { name: 'x', database: 'app', active: false, temporary: false, retainedBytes: 0 };
const THERE: TargetTable = {
  schema: 'public',
  name: 't',
  kind: 'r',
  hasRows: false,
  owned: true,
  writable: true,
  rowSecurity: false,
  isPartition: false,
  isRoot: false,
};
const VIA = {
  ...{ oid: 2, schema: 'public', name: 'm' },
  ...{ bornInPlace: true, bornAt: '700', uniqueKey: true, bounds: null },
};
const ROOT: Relation = { ...TABLE, oid: 2, name: 'm', kind: 'p', bytes: 0, viaRoot: VIA };
const PART: Relation = { ...TABLE, oid: 3, name: 'm_1', isPartition: true, viaRoot: VIA };

/** A tree of `viaPartitionRoot`, and its root on the target. */
function rooted(more: Partial<Relation>, facts: Partial<RootFacts>): Changes {
  const relation = { ...TABLE, oid: 9, name: 'm', ...more };
  return {
    source: { relations: [ROOT, PART] },
    target: {
      tables: [{ ...THERE, name: 'm', kind: relation.kind, isRoot: true }],
      roots: [{ relation, partitions: null, indexes: [], ...facts }],
    },
  };
}
const IDLE = { include: [], exclude: [] };
const HSTORE = { name: 'hstore', version: '1.8', schema: 'public', tablesWithRows: [] };
const NAMING = {
  schema: 'public',
  name: 't',
  column: 'v',
  type: 'regclass',
  named: [{ schema: 'public', name: 'i' }],
};
const OFFER = { name: 'hstore', installed: null, available: '1.8', refused: null };
const REFUSED = { kind: 'VIEW', schema: 'app', name: 'v', state: '42703', owner: null };
const TRIED: RehearsalFacts = {
  refused: [],
  owners: [],
  others: [],
  triggers: [],
  checks: [],
  untried: 0,
  failure: null,
};
const TOGETHER = { tables: 20_000, all: 30_000, setting: 400 };
const MEMBER = {
  extension: 'hstore',
  name: 'table public.queue',
  isConfig: false,
  used: true,
  content: null,
};
const INSTALLED = { version: '1.8', schema: 'ext', relocatable: true, boundTo: null };
const WRITTEN = { bytes: 86_400e6, seconds: 86_400 };

const rehearsed = (changes: Partial<RehearsalFacts>): Changes => ({
  rehearsal: { ...TRIED, ...changes },
});
const strangers = (changes: { relation: string | null }): Changes => ({
  source: { extensions: [HSTORE], members: [{ ...MEMBER, ...changes }] },
  target: { offer: { extensions: [OFFER], members: [] } },
});
const source = (changes: Partial<SourceFacts>): Changes => ({ source: changes });
const target = (changes: Partial<TargetFacts>): Changes => ({ target: changes });
const objects = (changes: Partial<SourceFacts['objects']>): Changes =>
  source({ objects: { ...SOURCE.objects, ...changes } });
const wal = (changes: Partial<SourceFacts['wal']>, more: Partial<SourceFacts> = {}): Changes =>
  source({ wal: { ...SOURCE.wal, ...changes }, ...more });

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

const KEY: PartitionKey = {
  ...{ schema: 'public', name: 'p', strategy: 'r', enums: [], numbered: [] },
  ...{ hashes: [], own: [], collations: [], untyped: false },
};
const SORTED = {
  provider: 'i',
  locale: 'de',
  deterministic: true,
  version: null,
  inherited: false,
};

const UNMEASURED = new MigrationError('Internal', 'no number', { object: 'query' });

function guarded(guard: object, measured: Partial<GuardFacts>): Changes {
  const all = { looks: [], failures: [], seesOthers: true, replicas: 1, ...measured };
  return { input: { guard }, source: { guard: all } };
}

const CASES: Case[] = [
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
  ['source-select', 'error', source({ unreadable: [{ ...TABLE, selected: true }] })],
  ['source-select-other', 'error', source({ unreadable: [{ ...TABLE, selected: false }] })],
  ['source-sequence', 'error', source({ unreadableSequences: [TABLE] })],
  ['target-create', 'error', target({ mayCreateSchemas: false })],
  ['target-schema', 'error', target({ closedSchemas: ['public'] })],
  ['target-write', 'error', target({ tables: [{ ...THERE, writable: false }] })],
  ['target-owner', 'error', target({ tables: [{ ...THERE, owned: false }] })],
  ['replica-role', 'error', target({ mayReplicate: false })],
  [
    'target-schema-rights',
    'warning',
    {
      source: { schemaRights: [RIGHTS] },
      target: {
        schemaRights: [{ ...RIGHTS, owner: 'admin' }],
        roles: new Map([['boss', { member: true, usable: true }]]),
      },
    },
  ],
  [
    'target-schema-rights',
    'warning',
    {
      source: { schemaRights: [RIGHTS] },
      target: { schemaRights: [{ ...RIGHTS, grants: [{ privilege: 'CREATE', grantee: null }] }] },
    },
  ],
  [
    'unenforced-constraints',
    'warning',
    source({ unenforced: [{ schema: 'public', name: 't', constraint: 't_fkey' }] }),
  ],
  ['source-own-schema', 'error', source({ ownNameTaken: true })],
  ['role-missing', 'error', source({ roles: { ...SOURCE.roles, owners: ['boss'] } })],
  [
    'role-not-member',
    'error',
    {
      source: { roles: { ...SOURCE.roles, owners: ['boss'] } },
      target: { roles: new Map([['boss', { member: false, usable: false }]]) },
    },
  ],
  [
    'default-privileges',
    'error',
    {
      ...objects({ defaultPrivileges: ['boss'] }),
      target: { roles: new Map([['boss', { member: false, usable: false }]]) },
    },
  ],
  [
    'target-default-privileges',
    'warning',
    target({ objects: { ...TARGET.objects, defaultPrivileges: true } }),
  ],
  [
    'event-trigger-right',
    'error',
    {
      ...objects({ eventTriggers: ['audit'] }),
      target: { eventTriggers: { may: false, refusedOwners: [] } },
    },
  ],
  [
    'event-triggers',
    'note',
    {
      ...objects({ eventTriggers: ['audit'] }),
      target: { eventTriggers: { may: true, refusedOwners: [] } },
    },
  ],
  [
    'target-clash',
    'error',
    {
      ...objects({ eventTriggers: ['audit'] }),
      target: {
        eventTriggers: { may: true, refusedOwners: [] },
        objects: { ...TARGET.objects, eventTriggerNames: ['audit'] },
      },
    },
  ],
  ['login-triggers', 'warning', objects({ loginTriggers: ['welcome'] })],
  [
    'target-event-triggers',
    'warning',
    target({ objects: { ...TARGET.objects, eventTriggers: ['audit'] } }),
  ],
  [
    'target-event-trigger-blocks',
    'error',
    rehearsed({ triggers: [{ name: 'no_ddl', state: 'enable', refused: 'TABLE app.t' }] }),
  ],
  ['owner-create', 'error', rehearsed({ owners: [{ schema: 'app', owner: 'boss' }] })],
  ['object-refused', 'error', rehearsed({ refused: [REFUSED] })],
  ['object-refused', 'error', rehearsed({ refused: [{ ...REFUSED, kind: 'FUNCTION' }] })],
  [
    'not-owned',
    'warning',
    rehearsed({ others: [{ name: 'comment on SCHEMA public', grants: null }] }),
  ],
  [
    'check-deferred',
    'warning',
    rehearsed({ checks: [{ name: 'CHECK app.t.c', functions: ['f'] }] }),
  ],
  ['source-lock-table', 'warning', rehearsed({ together: TOGETHER })],
  [
    'source-lock-table',
    'error',
    rehearsed({ together: TOGETHER, failure: new OutOfLocks(TOGETHER) }),
  ],
  ['schema-untried', 'note', rehearsed({ untried: 7 })],
  ['schema-untried', 'warning', rehearsed({ failure: new MigrationError('Contention', 'busy') })],
  ['schema-untried', 'error', rehearsed({ failure: new MigrationError('SchemaFailed', 'no') })],
  ['user-mappings', 'warning', source({ hiddenMappings: ['USER MAPPING for app on server far'] })],
  ['extension-members', 'error', strangers({ relation: 'public.queue' })],
  ['extension-members', 'warning', strangers({ relation: null })],
  ['publications', 'note', objects({ publications: ['p'] })],
  ['subscriptions', 'warning', objects({ subscriptions: [{ name: 's', enabled: true }] })],
  ['nothing-selected', 'error', source({ relations: [] })],
  ['pattern-unmatched', 'error', source({ idlePatterns: { ...IDLE, include: ['publik.*'] } })],
  ['exclude-unmatched', 'warning', source({ idlePatterns: { ...IDLE, exclude: ['x.*'] } })],
  ['foreign-table', 'error', source({ relations: [TABLE, { ...TABLE, name: 'f', kind: 'f' }] })],
  ['unlogged-table', 'error', source({ relations: [{ ...TABLE, persistence: 'u' }] })],
  [
    'unlogged-table',
    'warning',
    {
      ...source({ relations: [{ ...TABLE, persistence: 'u' }] }),
      input: { ignore: { unlogged: ['public.t'] } },
    },
  ],
  ['ignore-unmatched', 'warning', { input: { ignore: { unlogged: ['x.*'] } } }],
  ['temporary-tables', 'note', objects({ temporaryTables: 2 })],
  ['large-objects', 'error', objects({ largeObjects: 12_000 })],
  [
    'large-objects',
    'warning',
    { ...objects({ largeObjects: 1 }), input: { ignore: { largeObjects: true } } },
  ],
  ['replica-identity', 'error', source({ relations: [{ ...TABLE, key: null }] })],
  [
    'replica-identity',
    'warning',
    {
      ...source({ relations: [{ ...TABLE, key: null }] }),
      input: { ignore: { missingIdentity: ['public.*'] } },
    },
  ],
  [
    'char-byte',
    'error',
    {
      source: {
        relations: [{ ...TABLE, columns: BIGINT.map((one) => ({ ...one, typeOid: 18 })) }],
      },
      target: { major: 14 },
    },
  ],
  [
    'non-finite-numbers-full',
    'error',
    source({
      relations: [{ ...TABLE, identity: 'f', key: null, columns: NUMERIC }],
      plugin: { ...SOURCE.plugin, numericAsText: false },
    }),
  ],
  [
    'non-finite-numbers-full',
    'warning',
    source({
      relations: [{ ...TABLE, identity: 'f', key: null, columns: NUMERIC }],
      plugin: { ...SOURCE.plugin, numericAsText: null },
    }),
  ],
  [
    'non-finite-numbers',
    'warning',
    source({
      relations: [{ ...TABLE, columns: NUMERIC }],
      plugin: { ...SOURCE.plugin, numericAsText: false },
    }),
  ],
  ['object-names', 'warning', source({ objectNames: [{ ...NAMING, named: null }] })],
  [
    'object-names',
    'error',
    {
      source: { objectNames: [NAMING] },
      target: { absentRelations: [{ schema: 'public', name: 'i' }] },
    },
  ],
  ['extension-missing', 'error', source({ extensions: [HSTORE] })],
  [
    'extension-older',
    'warning',
    {
      source: { extensions: [{ ...HSTORE, version: '1.10' }] },
      target: { offer: { extensions: [{ ...OFFER, available: '1.9' }], members: [] } },
    },
  ],
  [
    'extension-right',
    'error',
    {
      source: { extensions: [HSTORE] },
      target: { offer: { extensions: [{ ...OFFER, refused: '42501' }], members: [] } },
    },
  ],
  [
    'extension-schema',
    'error',
    {
      source: { extensions: [HSTORE] },
      target: { offer: { extensions: [{ ...OFFER, installed: INSTALLED }], members: [] } },
    },
  ],
  [
    'extension-schema',
    'error',
    {
      source: { extensions: [HSTORE] },
      target: {
        offer: {
          extensions: [{ ...OFFER, installed: { ...INSTALLED, boundTo: 'ext' } }],
          members: [],
        },
      },
    },
  ],
  [
    'extension-refused',
    'error',
    {
      source: { extensions: [HSTORE] },
      target: { offer: { extensions: [{ ...OFFER, refused: '55000' }], members: [] } },
    },
  ],
  [
    'extension-rows',
    'error',
    {
      source: { extensions: [{ ...HSTORE, tablesWithRows: ['public.conf'] }] },
      target: { offer: { extensions: [OFFER], members: [] } },
    },
  ],
  [
    'extension-rows',
    'warning',
    {
      source: { extensions: [{ ...HSTORE, tablesWithRows: ['public.conf'] }] },
      target: { offer: { extensions: [OFFER], members: [] } },
      input: { ignore: { extensionRows: true } },
    },
  ],
  [
    'extension-ignored',
    'warning',
    // Missing on the target, and with its own rows: both are implied.
    source({
      extensions: [{ ...HSTORE, tablesWithRows: ['public.conf'] }],
      ignored: { ...SOURCE.ignored, extensions: ['hstore'], along: ['view public.v'] },
    }),
  ],
  [
    'extension-needed',
    'error',
    source({
      extensions: [HSTORE],
      ignored: { ...SOURCE.ignored, extensions: ['hstore'], needed: ['table column public.t.h'] },
    }),
  ],
  [
    'ignore-object-unmatched',
    'warning',
    source({ ignored: { ...SOURCE.ignored, absent: ['hstor'] } }),
  ],
  [
    'event-triggers-ignored',
    'warning',
    source({ ignored: { ...SOURCE.ignored, eventTriggers: ['audit'] } }),
  ],
  ['security-labels', 'note', objects({ labelProviders: ['selinux'] })],
  [
    'target-clash',
    'error',
    target({ taken: [{ catalog: 'function', schema: 'public', name: 'f', arguments: 'a int' }] }),
  ],
  ['target-clash', 'error', target({ tables: [{ ...THERE, kind: 'v', hasRows: null }] })],
  ['target-unlogged', 'error', target({ unlogged: [{ schema: 'public', name: 't' }] })],
  ['target-rows', 'error', target({ tables: [{ ...THERE, hasRows: true }] })],
  [
    'target-mixed',
    'error',
    { source: { relations: [TABLE, { ...TABLE, name: 'u' }] }, target: { tables: [THERE] } },
  ],
  [
    'target-columns',
    'error',
    target({
      tables: [THERE],
      given: [{ ...TABLE, columns: BIGINT.map((one) => ({ ...one, collation: CI })) }],
    }),
  ],
  [
    'target-collation',
    'warning',
    target({
      tables: [THERE],
      given: [
        {
          ...TABLE,
          columns: BIGINT.map((one) => ({ ...one, collation: { ...CI, deterministic: true } })),
        },
      ],
    }),
  ],
  ['target-columns', 'error', target({ tables: [THERE], given: [{ ...TABLE, columns: [] }] })],
  ['partition-root-unmatched', 'error', { input: { tables: { viaPartitionRoot: ['public.n'] } } }],
  ['partition-root-missing', 'error', { source: { relations: [ROOT, PART] } }],
  ['partition-root-missing', 'error', rooted({ kind: 'p' }, { partitions: 0, indexes: [['id']] })],
  ['partition-root-columns', 'error', rooted({ columns: [] }, { indexes: [['id']] })],
  [
    'partition-root-identity',
    'error',
    {
      ...rooted({}, { indexes: [['id']] }),
      source: { relations: [ROOT, { ...PART, viaRoot: { ...VIA, uniqueKey: false } }] },
    },
  ],
  ['partition-root-index', 'warning', rooted({}, { indexes: [['other']] })],
  ['target-other-tables', 'note', target({ objects: { ...TARGET.objects, otherTables: 3 } })],
  ['leftover-slot', 'error', source({ slots: [{ ...SLOT, name: slotName('orders', 'earlier') }] })],
  ['source-recognition', 'error', source({ recognizable: false })],
  ['target-recognition', 'error', target({ recognizable: false })],
  ['other-slot', 'warning', source({ slots: [{ ...SLOT, name: slotName('other', 'run') }] })],
  ['control-schema', 'error', target({ control: { state: 'hidden', migrations: [] } })],
  ['control-schema', 'error', target({ control: { state: 'foreign', migrations: [] } })],
  [
    'leftover-control',
    'error',
    target({ control: { state: 'readable', migrations: [{ id: 'x', workflowId: 'w' }] } }),
  ],
  ['program-missing', 'error', { programs: [{ name: 'pg_restore', major: null }] }],
  ['program-older', 'error', { programs: [{ name: 'pg_dump', major: 14 }] }],
  [
    'program-older',
    'error',
    {
      programs: [
        { name: 'pg_dump', major: 17 },
        { name: 'pg_restore', major: 15 },
      ],
    },
  ],
];

it('facts of a ready pair give no finding', () => {
  expect(findings()).toEqual([]);
});

it.each(CASES)('%s (%s) is the only finding that its facts give', (code, level, changes) => {
  // Only an older target reads "char" wrongly, and that it is older is a separate finding.
  const extra = code === 'char-byte' ? 'target-older' : null;
  const found = findings(changes).filter((one) => one.code !== extra);
  expect(found.map((one) => [one.code, one.level])).toEqual([[code, level]]);
  // A sentence without its full stop (the texts are joined), and an action.
  expect(found[0]?.message).toMatch(/^\S.*[^.]$/s);
  expect(found[0]?.action.length).toBeGreaterThan(10);
});

/**
 * Every list as long as in a database with very many objects, each with a different name of maximum length.
 */
function swell<T>(value: T, many: number): T;
function swell(value: unknown, many: number): unknown {
  if (Array.isArray(value)) {
    const given: readonly unknown[] = value;
    if (given.length === 0) return given;
    return Array.from({ length: Math.max(many, given.length) }, (_, i) =>
      i < given.length ? given[i] : renamed(given[i % given.length], i),
    );
  }
  if (typeof value !== 'object' || value === null) return value;
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]: [string, unknown]) => [
      key,
      // Facts of a single object stay unchanged.
      OF_ONE.has(key) ? inner : swell(inner, many),
    ]),
  );
}
const OF_ONE = new Set([
  'columns',
  'key',
  'indexes',
  'programs',
  'failures',
  'input',
  'plugin',
  'ignored',
]);

function renamed(one: unknown, i: number): unknown {
  if (typeof one === 'string') return `${one}_${'n'.repeat(50)}_${i}`;
  if (typeof one !== 'object' || one === null) return one;
  if (Object.getPrototypeOf(one) !== Object.prototype) return one;
  return Object.fromEntries(
    Object.entries(one).map(([key, value]: [string, unknown]) => [
      key,
      NAMES.has(key) && typeof value === 'string' ? `${value}_${'n'.repeat(50)}_${i}` : value,
    ]),
  );
}
const NAMES = new Set(['name', 'table', 'member', 'schema', 'column', 'object', 'workflowId']);

it('no finding grows with the number of its objects, nor does the payload of all findings', () => {
  const large = CASES.flatMap(([code, , changes]) => {
    const found = findings(swell(changes, 1_000));
    const sizes = found.map(({ message, action }) => message.length + action.length);
    const text = Buffer.byteLength(renderFindings(found) + JSON.stringify(noteFindings(found)));
    const most = Math.max(0, ...sizes);
    return most > 30_000 || text > 60_000
      ? [`${code}: ${most} of ${found.length}, ${text} bytes`]
      : [];
  });
  expect(large).toEqual([]);
});

it('a large copy reports the WAL and the disk that SQL cannot see', () => {
  const found = findings(wal({ written: WRITTEN }, { relations: GIGABYTES }));
  expect(found.map(({ code }) => code)).toEqual(['wal-expected', 'target-disk']);
  expect(found[0]?.message).toContain('977 kB/s, the average since the last statistics reset');
  expect(found[0]?.message).toContain('5.0 GB in 89 min to 25 GB in 7.5 h');
  expect(found[1]?.message).toContain('500 GB');
});

it('every code of the catalogue, in each of its levels, has a case', () => {
  const cases = new Set(CASES.map(([code, level]) => `${code} ${level}`));
  for (const code of ['wal-expected', 'target-disk']) cases.add(`${code} note`);
  const expected = catalogue().flatMap(({ code, levels }) => levels.map((one) => `${code} ${one}`));
  expect([...cases].sort()).toEqual(expected.sort());
});
