/** Parts of facts that cases of several checks share. */
import type { GuardFacts } from '../../../postgres/preflight/facts/measured-guard.ts';
import type { RehearsalFacts } from '../../../postgres/preflight/rehearsal/rehearsal-facts.ts';
import { type SourceFacts, type TargetFacts } from '../../../postgres/preflight/checks.ts';
import { type Level } from '../../../contract/finding.ts';
import { MigrationError } from '../../../contract/failure.ts';
import type { PartitionKey } from '../../../postgres/catalog/partition-key.ts';
import type { Relation } from '../../../postgres/catalog/relation.ts';
import type { RootFacts } from '../../../postgres/preflight/facts/target-roots.ts';
import type { TargetTable } from '../../../postgres/preflight/facts/target-tables.ts';
import { SOURCE, TABLE, type Changes } from '../preflight-facts.ts';

export type Case = readonly [code: string, level: Level, changes: Changes];

export const { columns: BIGINT } = TABLE;
export const NUMERIC = BIGINT.map((one) => ({ ...one, typeOid: 1700 }));
export const CI = {
  name: 'public.ci',
  provider: 'i',
  locale: 'und-u-ks-level2',
  deterministic: false,
};
export const RIGHTS = { schema: 'app', owner: 'boss', stock: false, grants: [] };
export const GIGABYTES = [{ ...TABLE, bytes: 500 * 1024 ** 3 }];
export const SLOT = {
  name: 'x',
  database: 'app',
  active: false,
  temporary: false,
  retainedBytes: 0,
};
export const THERE: TargetTable = {
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
export const VIA = {
  ...{ oid: 2, schema: 'public', name: 'm' },
  ...{ bornInPlace: true, bornAt: '700', uniqueKey: true, bounds: null },
};
export const ROOT: Relation = { ...TABLE, oid: 2, name: 'm', kind: 'p', bytes: 0, viaRoot: VIA };
export const PART: Relation = { ...TABLE, oid: 3, name: 'm_1', isPartition: true, viaRoot: VIA };

/** A tree of `viaPartitionRoot`, and its root on the target. */
export function rooted(more: Partial<Relation>, facts: Partial<RootFacts>): Changes {
  const relation = { ...TABLE, oid: 9, name: 'm', ...more };
  return {
    source: { relations: [ROOT, PART] },
    target: {
      tables: [{ ...THERE, name: 'm', kind: relation.kind, isRoot: true }],
      roots: [{ relation, partitions: null, indexes: [], ...facts }],
    },
  };
}
export const IDLE = { include: [], exclude: [] };
export const HSTORE = { name: 'hstore', version: '1.8', schema: 'public', tablesWithRows: [] };
export const NAMING = {
  schema: 'public',
  name: 't',
  column: 'v',
  type: 'regclass',
  named: [{ schema: 'public', name: 'i' }],
};
export const OFFER = { name: 'hstore', installed: null, available: '1.8', refused: null };
export const REFUSED = { kind: 'VIEW', schema: 'app', name: 'v', state: '42703', owner: null };
export const TRIED: RehearsalFacts = {
  refused: [],
  owners: [],
  others: [],
  triggers: [],
  checks: [],
  untried: 0,
  failure: null,
};
export const TOGETHER = { tables: 20_000, all: 30_000, setting: 400 };
export const MEMBER = {
  extension: 'hstore',
  name: 'table public.queue',
  isConfig: false,
  used: true,
  content: null,
};
export const INSTALLED = { version: '1.8', schema: 'ext', relocatable: true, boundTo: null };
export const WRITTEN = { bytes: 86_400e6, seconds: 86_400 };

export const rehearsed = (changes: Partial<RehearsalFacts>): Changes => ({
  rehearsal: { ...TRIED, ...changes },
});
export const strangers = (changes: { relation: string | null }): Changes => ({
  source: { extensions: [HSTORE], members: [{ ...MEMBER, ...changes }] },
  target: { offer: { extensions: [OFFER], members: [] } },
});
export const source = (changes: Partial<SourceFacts>): Changes => ({ source: changes });
export const target = (changes: Partial<TargetFacts>): Changes => ({ target: changes });
export const objects = (changes: Partial<SourceFacts['objects']>): Changes =>
  source({ objects: { ...SOURCE.objects, ...changes } });
export const wal = (
  changes: Partial<SourceFacts['wal']>,
  more: Partial<SourceFacts> = {},
): Changes => source({ wal: { ...SOURCE.wal, ...changes }, ...more });

export const KEY: PartitionKey = {
  ...{ schema: 'public', name: 'p', strategy: 'r', enums: [], numbered: [] },
  ...{ hashes: [], own: [], collations: [], untyped: false },
};
export const SORTED = {
  provider: 'i',
  locale: 'de',
  deterministic: true,
  version: null,
  inherited: false,
};

export const UNMEASURED = new MigrationError('Internal', 'no number', { object: 'query' });

export function guarded(guard: object, measured: Partial<GuardFacts>): Changes {
  const all = { looks: [], failures: [], seesOthers: true, replicas: 1, ...measured };
  return { input: { guard }, source: { guard: all } };
}
