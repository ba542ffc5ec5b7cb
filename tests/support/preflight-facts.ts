/**
 * Facts of a pair that is ready, for unit tests of preflight's checks: each test changes one thing and checks the
 * findings.
 */
import type { Finding } from '../../contract/finding.ts';
import { parseInput } from '../../contract/input.ts';
import { slotName } from '../../contract/slot-name.ts';
import type { Relation } from '../../postgres/catalog/relation.ts';
import {
  check,
  type AllFacts,
  type SourceFacts,
  type TargetFacts,
} from '../../postgres/preflight/checks.ts';
import type { EndpointFacts } from '../../postgres/preflight/facts/endpoint.ts';

export const MIGRATION = {
  id: 'run',
  workflowId: 'orders',
  source: 'old',
  target: 'new',
  slot: slotName('orders', 'run'),
};

export const SERVER = {
  major: 15,
  version: '15.18',
  database: 'app',
  encoding: 'UTF8',
  locale: { provider: 'libc', collate: 'C.UTF-8', ctype: 'C.UTF-8', locale: null, version: null },
  hashes: new Map(),
  inRecovery: false,
  notDurable: [],
  fingerprint: 'a',
  recognizable: true,
  role: { name: 'mover', superuser: false, replication: true },
  sessions: { most: 100, used: 10 },
  age: { xids: 1000, multixacts: 1 },
};

export const ENDPOINT: EndpointFacts = {
  link: { place: 'db.example.com:5432', local: false, encrypted: true, verified: 'host' },
  servers: 1,
  shared: false,
  proxied: false,
  lostSettings: [],
  session: { login: 'mover', role: 'mover', overOwn: true, hidingDamage: [] },
  replication: null,
  defaults: new Map([
    ['TimeZone', 'UTC'],
    ['search_path', '"$user", public'],
  ]),
};

export const TABLE: Relation = {
  oid: 1,
  schema: 'public',
  name: 't',
  kind: 'r',
  persistence: 'p',
  identity: 'd',
  splittable: true,
  pages: 1,
  estimatedRows: 1,
  bytes: 8192,
  parentOid: null,
  isPartition: false,
  key: ['id'],
  types: new Map(),
  viaRoot: null,
  columns: [
    {
      name: 'id',
      attnum: 1,
      typeOid: 20,
      baseTypeOid: 20,
      typeName: 'bigint',
      baseTypeName: 'bigint',
      notNull: true,
      hasDefault: false,
      generated: false,
      identity: '',
    },
  ],
};

export const SOURCE: SourceFacts = {
  ...SERVER,
  returning: null,
  walLevel: 'logical',
  outputPluginLibraries: null,
  snapshotSeconds: null,
  slotsMax: 10,
  wal: {
    keepBytes: null,
    written: null,
    idleTimeoutSeconds: 0,
    decodingBytes: 64 * 1024 ** 2,
    bufferBytes: 128 * 1024 ** 2,
  },
  slots: [],
  senders: { max: 10, used: 0 },
  synchronousStandbys: '',
  plugin: { state: 'usable', numericAsText: true, refusedOptions: [], blockers: [] },
  transactions: [],
  relations: [TABLE],
  idlePatterns: { include: [], exclude: [] },
  remedies: [],
  unreadable: [],
  rowSecurity: [],
  unreadableSequences: [],
  roles: { owners: [], schemas: [], grantees: [], policies: [] },
  schemaRights: [],
  unenforced: [],
  ownNameTaken: false,
  objects: {
    largeObjects: 0,
    temporaryTables: 0,
    publications: [],
    subscriptions: [],
    eventTriggers: [],
    eventTriggerOwners: [],
    loginTriggers: [],
    defaultPrivileges: [],
    databaseSettings: [],
    labelProviders: [],
  },
  extensions: [],
  members: [],
  hiddenMappings: [],
  guard: null,
  ignored: { extensions: [], eventTriggers: [], absent: [], needed: [], along: [] },
  collations: [],
  objectNames: [],
  partitionKeys: [],
  generatedReads: [],
  nullableColumns: [],
  textColumns: [],
  created: [],
  fence: null,
};

export const TARGET: TargetFacts = {
  ...SERVER,
  decoding: null,
  fingerprint: 'b',
  recognizable: true,
  mayCreateSchemas: true,
  closedSchemas: [],
  mayReplicate: true,
  schemas: ['public'],
  schemaRights: [],
  eventTriggers: { may: null, refusedOwners: [] },
  tables: [],
  roots: [],
  given: [],
  unlogged: [],
  control: { state: 'absent', migrations: [] },
  gates: [],
  subscribed: [],
  objects: { otherTables: 0, eventTriggers: [], eventTriggerNames: [], defaultPrivileges: false },
  offer: { extensions: [], members: [] },
  missingCollations: [],
  absentRelations: [],
  partitionKeys: [],
  collationVersions: [],
  taken: [],
  roles: new Map(),
};

export interface Changes {
  readonly input?: Record<string, unknown>;
  /** Null: the side could not be read. */
  readonly source?: Partial<SourceFacts> | null;
  readonly target?: Partial<TargetFacts> | null;
  readonly endpoints?: { source?: Partial<EndpointFacts>; target?: Partial<EndpointFacts> };
  readonly failures?: AllFacts['failures'];
  readonly programs?: AllFacts['programs'];
  readonly rehearsal?: AllFacts['rehearsal'];
}

/** The findings of all checks for a ready pair with these changes. */
export function findings(changes: Changes = {}): Finding[] {
  const parsed = parseInput({ source: 'old', target: 'new', ...changes.input });
  if (!parsed.ok) throw new Error(parsed.message);
  return check({
    migration: MIGRATION,
    input: parsed.input,
    failures: changes.failures ?? [],
    source: changes.source === null ? null : { ...SOURCE, ...changes.source },
    target: changes.target === null ? null : { ...TARGET, ...changes.target },
    endpoints: {
      source: { ...ENDPOINT, ...changes.endpoints?.source },
      target: { ...ENDPOINT, ...changes.endpoints?.target },
    },
    rehearsal: changes.rehearsal ?? null,
    programs: changes.programs ?? [
      { name: 'pg_dump', major: 15 },
      { name: 'pg_restore', major: 15 },
    ],
  });
}

export const codes = (changes: Changes): string[] => findings(changes).map(({ code }) => code);
