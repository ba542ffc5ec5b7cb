/** Checks of preflight over facts that our own servers do not have. That every code is given is in preflight-findings.test.ts. */
import { describe, expect, it } from 'vitest';
import { MigrationError } from '../../contract/failure.ts';
import { slotName } from '../../contract/slot-name.ts';
import { cleanupCommand } from '../../contract/shell-command.ts';
import { libraries } from '../../postgres/preflight/facts/allowed-plugins.ts';
import type { SourceFacts } from '../../postgres/preflight/checks.ts';
import { identifier, list, size, span } from '../../postgres/preflight/wording.ts';
import {
  codes,
  findings,
  MIGRATION,
  SERVER,
  SOURCE,
  TABLE,
  TARGET,
} from '../support/preflight-facts.ts';

it('facts of a ready pair give no finding', () => {
  expect(findings()).toEqual([]);
});

describe('roles', () => {
  const schemas = [{ schema: 'app', owner: 'boss' }];
  const roles = new Map([
    ['boss', { member: false, usable: false }],
    ['pg_database_owner', { member: false, usable: false }],
  ]);

  it('the owner of a schema is required only where the target lacks the schema', () => {
    const source = { roles: { ...SOURCE.roles, schemas } };
    expect(codes({ source, target: { schemas: ['app'] } })).toEqual([]);
    expect(codes({ source, target: { schemas: ['app'], roles } })).toEqual([]);
    expect(codes({ source, target: { schemas: [] } })).toEqual(['role-missing']);
    expect(codes({ source, target: { schemas: [], roles } })).toEqual(['role-not-member']);
  });

  it('no finding advises to grant a role of the server itself', () => {
    const owners = ['boss', 'pg_database_owner'];
    const [found] = findings({
      source: { roles: { ...SOURCE.roles, owners } },
      target: { roles },
    });
    expect(found?.message).toContain('boss, pg_database_owner');
    expect(found?.action).toContain('grant boss to mover;');
    expect(found?.action).not.toContain('grant pg_');
  });
});

describe('non-finite numbers', () => {
  it('for a float or numeric key column the finding says that a change can stop the stream', () => {
    const plugin = { ...SOURCE.plugin, numericAsText: false };
    const [id] = TABLE.columns;
    if (!id) throw new Error('the table has no column');
    const columns = [id, { ...id, name: 'n', typeOid: 1700 }];
    const [outside] = findings({ source: { plugin, relations: [{ ...TABLE, columns }] } });
    expect(outside?.action).toMatch(/^Nothing is lost/);
    expect(outside?.message).not.toContain('ChangeFailed');
    const inKey = { ...TABLE, name: 'k', columns, key: ['id', 'n'] };
    const [inside] = findings({ source: { plugin, relations: [{ ...TABLE, columns }, inKey] } });
    expect(inside?.message).toContain('in the key: public.k (n), and');
    expect(inside?.message).toContain('ChangeFailed');
    expect(inside?.action).not.toMatch(/^Nothing is lost/);
  });
});

describe('names of objects in values', () => {
  const column = { schema: 'public', name: 't', column: 'v', type: 'regclass' };
  const named = [
    { schema: 'public', name: 'a_i' },
    { schema: 'public', name: 'b_i' },
  ];

  it('are refused only where the target lacks what they name; the message counts and names none of them', () => {
    const objectNames = [
      { ...column, named },
      { ...column, column: 'w', type: 'regtype', named: null },
    ];
    const lacking = findings({
      source: { objectNames },
      target: { absentRelations: [{ schema: 'public', name: 'b_i' }] },
    });
    expect(lacking.map(({ level }) => level)).toEqual(['error', 'warning']);
    expect(lacking[0]?.message).toContain('public.t.v (regclass): 1 name;');
    expect(lacking[0]?.action).toContain('select distinct v from public.t;');
    expect(lacking[1]?.message).toContain('public.t.w (regtype)');
    expect(lacking[1]?.message).not.toContain('public.t.v');
    expect(JSON.stringify(lacking)).not.toContain('_i');
    const [all, ...more] = findings({ source: { objectNames } });
    expect(more).toEqual([]);
    expect(all).toMatchObject({ level: 'warning', code: 'object-names' });
    expect(all?.message).toContain('public.t.v (regclass), public.t.w (regtype)');
  });

  it('give no finding where no column contains any', () => {
    expect(codes({})).toEqual([]);
  });
});

describe('wal2json', () => {
  it('that a newer minor release does not list is refused, with the line to set', () => {
    const [found, ...more] = findings({
      source: {
        version: '15.20',
        outputPluginLibraries: '"$libdir/x", pgoutput',
        plugin: { ...SOURCE.plugin, state: 'refused', numericAsText: null },
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

  it('that is not listed is reported in addition to a missing right', () => {
    const source: Partial<SourceFacts> = {
      outputPluginLibraries: 'pgoutput',
      plugin: { ...SOURCE.plugin, state: 'denied', numericAsText: null },
      role: { ...SERVER.role, replication: false },
    };
    expect(codes({ source })).toEqual(['plugin-refused', 'source-replication']);
  });

  it('that is not installed is named with its package', () => {
    const [found] = findings({
      source: { plugin: { ...SOURCE.plugin, state: 'missing', numericAsText: null } },
    });
    expect(found?.code).toBe('plugin-missing');
    expect(found?.action).toContain('postgresql-15-wal2json');
  });

  it('that could not be tried is not treated as an old one', () => {
    const relations = [
      {
        ...TABLE,
        identity: 'f' as const,
        key: null,
        columns: TABLE.columns.map((one) => ({ ...one, typeOid: 1700 })),
      },
    ];
    const plugin = (numericAsText: boolean | null) => ({
      ...SOURCE.plugin,
      numericAsText,
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
  it('without one side the other is still checked', () => {
    const failure = new MigrationError('Unreachable', 'no answer');
    const source = { walLevel: 'minimal' };
    expect(codes({ source, target: null, failures: [{ side: 'target', failure }] })).toEqual([
      'target-unreachable',
      'wal-level',
    ]);
    // Every table of the target would be "another" one.
    const target = { objects: { ...TARGET.objects, otherTables: 3 } };
    expect(codes({ source: null, target, failures: [{ side: 'source', failure }] })).toEqual([
      'source-unreachable',
    ]);
  });

  it('a newer pg_dump than the source is accepted', () => {
    expect(codes({ programs: [{ name: 'pg_dump', major: 17 }] })).toEqual([]);
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

  it('a temporary one does not count', () => {
    expect(codes({ source: { slots: [slot('walferry_probe_1', { temporary: true })] } })).toEqual(
      [],
    );
  });

  it('our own can only be from before a reset of the workflow', () => {
    const [found] = findings({ source: { slots: [slot(MIGRATION.slot)] } });
    expect(found).toMatchObject({ level: 'error', code: 'leftover-slot' });
    expect(found?.message).toContain('was reset to its beginning');
  });

  it('one of an earlier run is an error, with the WAL that it keeps', () => {
    const [found] = findings({ source: { slots: [slot(slotName('orders', 'earlier'))] } });
    expect(found).toMatchObject({ level: 'error', code: 'leftover-slot' });
    expect(found?.message).toContain('retains 5 MB of WAL');
  });

  it('one of a workflow whose id only starts like ours is a warning', () => {
    expect(codes({ source: { slots: [slot(slotName('orders_old', 'run'))] } })).toEqual([
      'other-slot',
    ]);
  });

  it('one that is in use in another database is ignored', () => {
    expect(
      codes({ source: { slots: [slot(slotName('x', 'y'), { active: true, database: 'other' })] } }),
    ).toEqual([]);
  });
});

describe('wording', () => {
  it('lists end', () => {
    expect(list(Array.from({ length: 13 }, (_, i) => `t${i}`))).toMatch(/t9 and 3 more$/);
  });

  it('sizes and times are shown in the unit that a person would choose', () => {
    expect([0, 1023, 1024, 1.5 * 1024 ** 3, 20 * 1024 ** 4].map(size)).toEqual([
      '0 bytes',
      '1023 bytes',
      '1.0 kB',
      '1.5 GB',
      '20 TB',
    ]);
    expect([-1, 119, 120, 7200, 3 * 86_400].map(span)).toEqual([
      '0 s',
      '119 s',
      '2 min',
      '2.0 h',
      '3 days',
    ]);
  });

  it('statements and commands can be pasted', () => {
    expect(identifier('plain_1')).toBe('plain_1');
    expect(identifier('Order')).toBe('"Order"');
    expect(identifier('user')).toBe('"user"');
    expect(identifier('a"b')).toBe('"a""b"');
    expect(cleanupCommand(MIGRATION, "it's")).toBe(
      `walferry cleanup old new --workflow-id 'it'\\''s'`,
    );
  });
});
