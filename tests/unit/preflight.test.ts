/** Checks of preflight over facts that our own servers do not have: other versions, other settings, full tables. */
import { describe, expect, it } from 'vitest';
import type { Finding } from '../../contract/finding.ts';
import { MigrationError } from '../../contract/failure.ts';
import { parseInput } from '../../contract/input.ts';
import { slotName } from '../../contract/migration.ts';
import type { Relation } from '../../postgres/catalog/relation.ts';
import { libraries } from '../../postgres/preflight/checks/plugin.ts';
import type {
  Facts,
  ServerFacts,
  SourceFacts,
  TargetFacts,
} from '../../postgres/preflight/facts.ts';
import { judge } from '../../postgres/preflight/inspect.ts';
import { cleanupCommand, identifier, list } from '../../postgres/preflight/wording.ts';

const MIGRATION = {
  id: 'run',
  workflowId: 'orders',
  source: 'old',
  target: 'new',
  slot: slotName('orders', 'run'),
};

const SERVER: ServerFacts = {
  major: 15,
  version: '15.18',
  database: 'app',
  encoding: 'UTF8',
  inRecovery: false,
  fingerprint: 'a',
  role: { name: 'mover', superuser: false, replication: true, bypassesRowSecurity: false },
};

const TABLE: Relation = {
  oid: 1,
  schema: 'public',
  name: 't',
  kind: 'r',
  persistence: 'p',
  identity: 'd',
  accessMethod: 'heap',
  pages: 1,
  estimatedRows: 1,
  bytes: 8192,
  parentOid: null,
  isPartition: false,
  key: ['id'],
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

const SOURCE: SourceFacts = {
  ...SERVER,
  walLevel: 'logical',
  outputPluginLibraries: null,
  slotsMax: 10,
  walKept: null,
  slots: [],
  sendersMax: 10,
  sendersUsed: 0,
  plugin: { state: 'usable', numericAsText: true, blockers: null },
  relations: [TABLE],
  idlePatterns: { include: [], exclude: [] },
  remedies: [],
  unreadable: [],
  rowSecurity: [],
  unreadableSequences: [],
  schemas: ['public'],
  roles: { owners: [], grantees: [], policies: [] },
};

const TARGET: TargetFacts = {
  ...SERVER,
  fingerprint: 'b',
  mayCreateSchemas: true,
  closedSchemas: [],
  mayReplicate: true,
  tables: [],
  control: { state: 'absent', migrations: [] },
  roles: new Map(),
};

interface Changes {
  readonly source?: Partial<SourceFacts>;
  readonly target?: Partial<TargetFacts>;
  readonly programs?: Facts['programs'];
}

function findings({ source, target, programs }: Changes = {}): Finding[] {
  const parsed = parseInput({ source: 'old', target: 'new' });
  if (!parsed.ok) throw new Error(parsed.message);
  return judge({
    migration: MIGRATION,
    input: parsed.input,
    failures: [],
    source: { ...SOURCE, ...source },
    target: { ...TARGET, ...target },
    programs: programs ?? [
      { name: 'pg_dump', major: 15 },
      { name: 'pg_restore', major: 15 },
    ],
  });
}

const codes = (changes: Changes): string[] => findings(changes).map(({ code }) => code);

it('facts of a pair that is ready give no finding', () => {
  expect(findings()).toEqual([]);
});

describe('wal2json', () => {
  it('that a newer minor release does not list is refused, with the line to set', () => {
    const [found, ...more] = findings({
      source: {
        version: '15.20',
        outputPluginLibraries: '"$libdir/x", pgoutput',
        plugin: { state: 'refused', numericAsText: null, blockers: null },
      },
    });
    expect(more).toEqual([]);
    expect(found).toMatchObject({ level: 'error', code: 'plugin-refused' });
    expect(found?.action).toContain("output_plugin_libraries = '$libdir/x', pgoutput, wal2json;");
  });

  it('that is listed, or on a server without the setting, is not', () => {
    expect(codes({ source: { outputPluginLibraries: 'pgoutput,wal2json' } })).toEqual([]);
    expect(codes({ source: { outputPluginLibraries: null } })).toEqual([]);
  });

  it('that is not listed is told beside a right that is missing, too', () => {
    const source: Partial<SourceFacts> = {
      outputPluginLibraries: 'pgoutput',
      plugin: { state: 'denied', numericAsText: null, blockers: null },
      role: { ...SERVER.role, replication: false },
    };
    expect(codes({ source })).toEqual(['plugin-refused', 'source-replication']);
  });

  it('that is not installed is named with its package', () => {
    const [found] = findings({
      source: { plugin: { state: 'missing', numericAsText: null, blockers: null } },
    });
    expect(found?.code).toBe('plugin-missing');
    expect(found?.action).toContain('postgresql-15-wal2json');
  });

  it('that could not be tried is not taken for an old one', () => {
    const relations = [
      {
        ...TABLE,
        identity: 'f' as const,
        key: null,
        columns: TABLE.columns.map((one) => ({ ...one, typeOid: 1700 })),
      },
    ];
    const plugin = (numericAsText: boolean | null) => ({
      state: 'usable' as const,
      numericAsText,
      blockers: null,
    });
    expect(findings({ source: { relations, plugin: plugin(null) } })).toMatchObject([
      { level: 'warning' },
    ]);
    expect(findings({ source: { relations, plugin: plugin(false) } })).toMatchObject([
      { level: 'error' },
    ]);
    expect(findings({ source: { relations, plugin: plugin(true) } })).toEqual([]);
  });

  it('the list of libraries is split as the server does it', () => {
    expect(libraries(' pgoutput ,"wal2json",, x')).toEqual(['pgoutput', 'wal2json', 'x']);
    expect(libraries('')).toEqual([]);
  });
});

describe('the servers', () => {
  const slot = { name: 'x', database: 'app', active: false, temporary: false, retainedBytes: 0 };

  it.each<[string, Changes, string[]]>([
    ['a source whose WAL cannot be decoded', { source: { walLevel: 'replica' } }, ['wal-level']],
    ['a source that is too old', { source: { major: 12, version: '12.3' } }, ['source-version']],
    ['a target older than the source', { target: { major: 14 } }, ['target-older']],
    ['a standby as source', { source: { inRecovery: true } }, ['source-standby']],
    ['a standby as target', { target: { inRecovery: true } }, ['target-standby']],
    ['a limit on the WAL that a slot may keep', { source: { walKept: '20GB' } }, ['wal-limit']],
    ['no free slot', { source: { slotsMax: 1, slots: [slot] } }, ['no-free-slot']],
    ['no free sender', { source: { sendersMax: 2, sendersUsed: 2 } }, ['no-free-sender']],
    ['an encoding that cannot hold the rows', { target: { encoding: 'LATIN1' } }, ['encoding']],
    ['one database twice', { target: { fingerprint: 'a' } }, ['same-database']],
    ['an old pg_dump', { programs: [{ name: 'pg_dump', major: 14 }] }, ['program-older']],
    ['no pg_restore', { programs: [{ name: 'pg_restore', major: null }] }, ['program-missing']],
    ['a newer pg_dump', { programs: [{ name: 'pg_dump', major: 17 }] }, []],
    [
      'a control schema that the role may not read',
      { target: { control: { state: 'hidden', migrations: [] } } },
      ['control-schema'],
    ],
  ])('%s', (_what, changes, expected) => {
    expect(codes(changes)).toEqual(expected);
  });

  it('without one side the other is judged all the same', () => {
    const parsed = parseInput({ source: 'old', target: 'new' });
    if (!parsed.ok) throw new Error(parsed.message);
    const failure = new MigrationError('Unreachable', 'no answer');
    const common = { migration: MIGRATION, input: parsed.input, programs: [] };
    const source = { ...SOURCE, walLevel: 'minimal' };
    expect(
      judge({ ...common, source, target: null, failures: [{ side: 'target', failure }] }).map(
        ({ code }) => code,
      ),
    ).toEqual(['target-unreachable', 'wal-level']);
    expect(
      judge({
        ...common,
        source: null,
        target: TARGET,
        failures: [{ side: 'source', failure }],
      }).map(({ code }) => code),
    ).toEqual(['source-unreachable']);
  });
});

describe('slots of other migrations', () => {
  const slot = (name: string, more: object = {}) => ({
    name,
    database: 'app',
    active: false,
    temporary: false,
    retainedBytes: 5 * 1024 * 1024,
    ...more,
  });

  it('our own slot and temporary ones are none', () => {
    expect(
      codes({
        source: { slots: [slot(MIGRATION.slot), slot('walferry_probe_1', { temporary: true })] },
      }),
    ).toEqual([]);
  });

  it('one of an earlier run is an error, with the WAL that it holds', () => {
    const [found] = findings({ source: { slots: [slot(slotName('orders', 'earlier'))] } });
    expect(found).toMatchObject({ level: 'error', code: 'leftover-slot' });
    expect(found?.message).toContain('holds 5 MB of WAL');
  });

  it('one of a workflow whose id only begins like ours is a warning', () => {
    expect(codes({ source: { slots: [slot(slotName('orders_old', 'run'))] } })).toEqual([
      'other-slot',
    ]);
  });

  it("one that is in use in another database is nobody's business", () => {
    expect(
      codes({ source: { slots: [slot(slotName('x', 'y'), { active: true, database: 'other' })] } }),
    ).toEqual([]);
  });
});

describe('wording', () => {
  it('lists end', () => {
    expect(list(Array.from({ length: 13 }, (_, i) => `t${i}`))).toMatch(/t9 and 3 more$/);
  });

  it('statements and commands can be pasted', () => {
    expect(identifier('plain_1')).toBe('plain_1');
    expect(identifier('Order')).toBe('"Order"');
    expect(identifier('user')).toBe('"user"');
    expect(identifier('a"b')).toBe('"a""b"');
    expect(cleanupCommand(MIGRATION, "it's")).toBe(
      `npm run cleanup -- old new --workflow-id 'it'\\''s'`,
    );
  });
});
