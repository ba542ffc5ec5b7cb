/** Facts about tables, extensions and leftovers, each with the one finding that it gives. */
import { slotName } from '../../../contract/slot-name.ts';
import { SOURCE, TABLE, TARGET } from '../preflight-facts.ts';
import {
  type Case,
  NUMERIC,
  CI,
  SLOT,
  THERE,
  VIA,
  ROOT,
  PART,
  rooted,
  IDLE,
  HSTORE,
  NAMING,
  OFFER,
  INSTALLED,
  source,
  target,
  objects,
  BIGINT,
} from './parts.ts';

export const TABLE_CASES: readonly Case[] = [
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
