import { describe, expect, it } from 'vitest';
import { MOST_NAME_BYTES, parseInput } from '../../contract/input.ts';

function refusal(raw: unknown): string {
  const parsed = parseInput(raw);
  if (parsed.ok) throw new Error('expected a refusal');
  return parsed.message;
}

describe('workflow input', () => {
  it('is complete with source and target alone; everything else has a default', () => {
    const parsed = parseInput({ source: 'a', target: 'b' });
    expect(parsed).toEqual({
      ok: true,
      input: {
        source: 'a',
        target: 'b',
        tables: { include: ['*.*'], exclude: [], viaPartitionRoot: [] },
        schema: { owners: true, grants: true },
        ignore: {
          ...{ missingIdentity: [], unlogged: [], largeObjects: false, extensionRows: false },
          ...{ extensions: [], eventTriggers: [] },
        },
        copy: { parallelism: 4, chunkMegabytes: 16, format: 'auto' },
        index: {},
        stream: { batchChanges: 20_000, batchMilliseconds: 0, leaseSeconds: 300 },
        cutover: { compare: 'changed', refresh: true, maxDowntimeSeconds: 30 },
        verify: 'before-cutover',
        verifySliceMinutes: 15,
        fenceExtras: {
          ...{ endSessions: false, readOnlyDefault: false, connect: false },
          connectionLimit: false,
        },
        limits: { copyStreams: 0, copyBytesPerSecond: 0, applyChangesPerSecond: 0 },
      },
    });
  });

  it('refuses more patterns and names than every step can carry, and says how many bytes are possible', () => {
    const pattern = 'public.t_1234567';
    const most = MOST_NAME_BYTES / pattern.length;
    const tables = (count: number) => ({
      include: Array.from({ length: count }, () => pattern),
    });
    const others = { exclude: ['öö.*'], viaPartitionRoot: [] };
    expect(parseInput({ source: 'a', target: 'b', tables: tables(most) }).ok).toBe(true);
    const message = refusal({ source: 'a', target: 'b', tables: { ...tables(most), ...others } });
    expect(message).toContain(`${MOST_NAME_BYTES + 6} bytes; the limit is ${MOST_NAME_BYTES}`);
    expect(message).not.toContain(pattern);
    const names = Array.from({ length: MOST_NAME_BYTES / 63 + 1 }, () => 'e'.repeat(63));
    expect(refusal({ source: 'a', target: 'b', ignore: { extensions: names } })).toContain('bytes');
    const { include } = tables(most / 2 + 1);
    const ignore = { missingIdentity: include, unlogged: include };
    expect(refusal({ source: 'a', target: 'b', ignore })).toContain('bytes');
  });

  it('keeps given fields next to the defaults of their group', () => {
    const parsed = parseInput({ source: 'a', target: 'b', copy: { parallelism: 9 } });
    expect(parsed.ok && parsed.input.copy).toEqual({
      parallelism: 9,
      chunkMegabytes: 16,
      format: 'auto',
    });
  });

  it.each([
    [undefined, 'the input is missing'],
    [null, 'the input is missing'],
    ['text', 'must be one JSON object'],
    [[1], 'must be one JSON object'],
    [{ target: 'b' }, '"source" is missing'],
    [{ source: 'a', target: '' }, '"target" must not be empty'],
    [{ source: 1, target: 'b' }, '"source" must be the name of a PostgreSQL service'],
    [{ source: 'a', target: 'a' }, '"target" must be a different service'],
    [
      { source: 'a', target: 'b', sorce: 1 },
      'unknown field "sorce"; known fields: source, target, tables, schema, ignore, copy, index, stream, cutover, verify, verifySliceMinutes, fence, fenceExtras, switchback, approval, window, limits, guard',
    ],
    [
      { source: 'a', target: 'b', copy: { threads: 1 } },
      'unknown field "copy.threads"; known in "copy": parallelism, chunkMegabytes',
    ],
    [{ source: 'a', target: 'b', approval: 'please' }, '"approval" must be "required" or "none"'],
    [
      { source: 'a', target: 'b', window: { from: '2026-11-28T01:00', to: '2026-11-28T02:00Z' } },
      '"window.from" must be a time with its zone, like "2026-11-28T01:00+01:00" or',
    ],
    [{ source: 'a', target: 'b', window: { from: '2026-11-28T01:00Z' } }, '"window.to" is missing'],
    [{ source: 'a', target: 'b', copy: 4 }, '"copy" must be an object'],
    [
      { source: 'a', target: 'b', verify: 'always' },
      '"verify" must be "off", "before-cutover" or "continuous"',
    ],
    [
      { source: 'a', target: 'b', ignore: { largeObjects: 'yes' } },
      '"ignore.largeObjects" must be true or false',
    ],
    [
      { source: 'a', target: 'b', ignore: { extensions: 'hstore' } },
      '"ignore.extensions" must be a list of names like ["pg_stat_statements"]',
    ],
    [
      { source: 'a', target: 'b', ignore: { eventTriggers: [''] } },
      '"ignore.eventTriggers.0" must not contain an empty name',
    ],
    [
      { source: 'a', target: 'b', ignore: { missingIdentity: ['log'] } },
      '"ignore.missingIdentity.0" must be a list of schema-qualified patterns',
    ],
    [
      { source: 'a', target: 'b', ignore: { unlogged: true } },
      '"ignore.unlogged" must be a list of patterns',
    ],
    [
      { source: 'a', target: 'b', ignore: { identity: [] } },
      'unknown field "ignore.identity"; known in "ignore": missingIdentity, unlogged',
    ],
    [
      { source: 'a', target: 'b', copy: { parallelism: 0 } },
      '"copy.parallelism" must be a whole number from 1 to 32',
    ],
    [
      { source: 'a', target: 'b', copy: { parallelism: 1.5 } },
      '"copy.parallelism" must be a whole number from 1 to 32',
    ],
    [
      { source: 'a', target: 'b', copy: { parallelism: '4' } },
      '"copy.parallelism" must be a whole number from 1 to 32',
    ],
    [
      { source: 'a', target: 'b', stream: { leaseSeconds: 1 } },
      '"stream.leaseSeconds" must be a whole number from 5 to 3600',
    ],
    [
      { source: 'a', target: 'b', tables: { include: [] } },
      '"tables.include" must name at least one pattern',
    ],
    [
      { source: 'a', target: 'b', tables: { include: ['orders'] } },
      '"tables.include.0" must be a list of schema-qualified patterns',
    ],
    [
      { source: 'a', target: 'b', tables: { exclude: 'public.*' } },
      '"tables.exclude" must be a list of patterns',
    ],
    [
      { source: 'a', target: 'b', cutover: { compare: 'some' } },
      '"cutover.compare" must be "changed", "full", "exact" or "off"',
    ],
    [{ source: 'a', target: 'b', tables: [] }, '"tables" must not be a list'],
    [
      { source: 'a', target: 'b', copy: { paralelism: 8 } },
      'unknown field "copy.paralelism"; known in "copy": parallelism, chunkMegabytes',
    ],
    [
      { source: 'a', target: 'b', 'during.x': 1 },
      'unknown field "during.x"; known fields: source, target',
    ],
    [
      { source: 'a', target: 'b', schema: { owners: 'no' } },
      '"schema.owners" must be true or false',
    ],
  ])('a mistake names the field and what is allowed: %j', (raw, expected) => {
    expect(refusal(raw)).toContain(expected);
  });

  it('names every mistake in one message', () => {
    const message = refusal({ source: 1, target: 'b', copy: { parallelism: 99 }, extra: true });
    expect(message).toContain('"source"');
    expect(message).toContain('"copy.parallelism"');
    expect(message).toContain('"extra"');
  });

  it.each([
    { source: 'postgres://app:MARKER-SECRET@db/orders', target: 'b' },
    { source: 'host=db password=MARKER-SECRET', target: 'b' },
    { source: 'a', target: 'b', password: 'MARKER-SECRET' },
    { source: 'a', target: 'b', sourceUrl: 'postgres://app:MARKER-SECRET@db/orders' },
    { source: 'a', target: 'b', copy: { parallelism: 'MARKER-SECRET' } },
    { source: 'a', target: 'b', tables: { include: ['MARKER-SECRET'] } },
    { source: 'a', target: 'b', tables: { exclude: ['postgres://u:MARKER-SECRET@host.example'] } },
    { source: { host: 'db', password: 'MARKER-SECRET' }, target: 'b' },
    { source: 'a', target: 'b', 'postgres://app:MARKER-SECRET@db/orders': 1 },
  ])('a secret in the input is refused and never repeated (%#)', (raw) => {
    expect(refusal(raw)).not.toContain('MARKER');
  });

  it('a field for a secret is refused with the place where secrets belong', () => {
    expect(refusal({ source: 'a', target: 'b', password: 'x' })).toContain('PGPASSFILE');
  });

  it.each(['public.orders', 'app.*', '*.*', '"odd.name".t', 'a."b ""c"".d"', 'ünï.täble'])(
    'accepts the pattern %s',
    (pattern) => {
      expect(parseInput({ source: 'a', target: 'b', tables: { include: [pattern] } }).ok).toBe(
        true,
      );
    },
  );
});
