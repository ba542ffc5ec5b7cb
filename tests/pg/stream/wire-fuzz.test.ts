/**
 * Lines of wal2json, damaged in every way that bytes can be: what the plugin cannot write ends in `StreamMalformed`, and both readers
 * of a line, the one for the fast path and the decoder, read the rest like an independent reader.
 */
import { expect, test } from 'vitest';
import { isUtf8 } from 'node:buffer';
import { MigrationError } from '../../../contract/failure.ts';
import type { RowLayout } from '../../../postgres/apply/row-layout.ts';
import { TableRows } from '../../../postgres/apply/table-rows.ts';
import { LineFailure, textOfLine } from '../../../postgres/replication/line.ts';
import { decodeMessage } from '../../../postgres/wal2json/decode.ts';
import { HeadReader } from '../../../postgres/wal2json/head.ts';
import { PLAIN } from '../../../postgres/wal2json/value.ts';
import { drawn, type Pick } from '../../support/random/pick.ts';
import { Feed } from '../apply/apply-feed.ts';

const SCHEMA = /* sql */ `
  create table t (id int8, k text, n numeric, f float8, b bool, body text, raw bytea, j jsonb, primary key (id, k));
  alter table t alter body set storage external;
  create table "T ""q"" é" (id int primary key, "c \\ ,é" text);
  create table whole (a int, b text); alter table whole replica identity full;`;
const WORK = [
  String.raw`insert into t values (9223372036854775807, E'a\t"é\\', -0.001000, 1e-300, true, E'x\n\x01\x1f\x7f😀{},:[]', '\x00ff', '{"a": [1, null]}')`,
  `insert into t values (1, 'k', null, -1.5e+20, false, repeat('long ', 600), null, null), (2, '', 100, 0, null, '', '', '1')`,
  `update t set n = 10.50, f = '-0' where id = 1`,
  `update t set id = 3 where id = 2`,
  `delete from t where id = 3`,
  `insert into "T ""q"" é" values (1, E'\\\\"\\b\\f\\r'), (2, null)`,
  `update "T ""q"" é" set "c \\ ,é" = 'null' where id = 1`,
  `insert into whole values (1, 'a'), (1, null)`,
  `update whole set b = 'c' where a = 1 and b is null`,
  `delete from whole`,
  `truncate whole, t`,
] as const;
const RANDOM_MUTATIONS = 15_000;
/** Longer lines are damaged at random places, not at each. */
const SHORT_LINE = 300;

type Cells = readonly { readonly name: string; readonly value: string | null }[];

/** What a line means. */
interface Meaning {
  readonly action: string;
  readonly schema: unknown;
  readonly table: unknown;
  readonly columns: Cells;
  readonly identity: Cells;
}

/** Prefix of the string that replaces a number; it occurs nowhere in the lines. */
const NUMBER = '\ue000';
const LISTS: Readonly<Record<string, string>> = {
  ...{ I: 'columns', U: 'columns,identity', D: 'identity' },
};

/**
 * An independent reader: the result of JSON.parse, which must serialise to the same bytes. So nothing that occurs twice was lost, and
 * nothing was there that the plugin writes differently. @returns null for what it does not write.
 */
function meaningOf(bytes: Buffer): Meaning | null {
  if (!isUtf8(bytes)) return null;
  const text = bytes.toString();
  const parsed = parse(
    text.replace(/"(?:[^"\\]|\\.)*"|-?\d[-+.\deE]*/gs, (token) =>
      token.startsWith('"') ? token : `"${NUMBER}${token}"`,
    ),
  );
  if (!isRecord(parsed) || text.includes('\\u0000')) return null;
  const again = JSON.stringify(parsed).replace(
    /"\ue000(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)"/g,
    (_, number: string) => number,
  );
  // A second way to write the same, which does no harm.
  const plain = text.replace(/\\(?:u00(0[89acd])|.)/gs, (escape, code?: string) =>
    code === undefined
      ? escape
      : JSON.stringify(String.fromCharCode(parseInt(code, 16))).slice(1, -1),
  );
  if (again !== plain) return null;
  const { action, schema, table, columns, identity } = parsed;
  const lists = ['columns', 'identity'].filter((name) => name in parsed);
  if (typeof action !== 'string' || lists.join() !== (LISTS[action] ?? '')) return null;
  const [fresh, old] = [cellsOf(columns), cellsOf(identity)];
  if (fresh === null || old === null) return null;
  // Fields that are not of this action are ignored: a later plugin may write more.
  const of = 'IUDT'.includes(action) ? { schema, table } : { schema: undefined, table: undefined };
  return { action, ...of, columns: fresh, identity: old };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** An absent list is empty; null for one that is no list of columns, each there once. */
function cellsOf(list: unknown): Cells | null {
  if (list === undefined) return [];
  if (!Array.isArray(list)) return null;
  const cells: { name: string; value: string | null }[] = [];
  for (const cell of list as readonly unknown[]) {
    if (!isRecord(cell) || typeof cell['name'] !== 'string') return null;
    const { name, value } = cell;
    if (cells.some((one) => one.name === name)) return null;
    if (typeof value === 'boolean') cells.push({ name, value: value ? 't' : 'f' });
    else if (typeof value === 'string') cells.push({ name, value: value.replace(NUMBER, '') });
    else if (value === null) cells.push({ name, value });
    else return null;
  }
  return cells;
}

/** What the decoder reads; null where it stops the stream. */
function decoded(bytes: Buffer): Meaning | null {
  const text = textOfLine(bytes);
  if (text instanceof LineFailure) return null;
  try {
    const message = decodeMessage(text);
    const { action } = message;
    if (action === 'I' || action === 'U' || action === 'D') return { ...message };
    if (action === 'T') return { ...message, columns: [], identity: [] };
    return { action, schema: undefined, table: undefined, columns: [], identity: [] };
  } catch (error) {
    if (error instanceof MigrationError && error.code === 'StreamMalformed') return null;
    throw error;
  }
}

/** What the reader of the fast path reads, as COPY would write it; null for a line that it leaves to the decoder. */
function folded(bytes: Buffer, tables: ReadonlyMap<string, RowLayout>): Meaning | null {
  const head = new HeadReader();
  const kind = head.read(bytes, 0, bytes.length);
  if (kind !== 'insert' && kind !== 'update' && kind !== 'delete') return null;
  const named = bytes.subarray(head.nameFrom, head.nameTo);
  const names = isUtf8(named) ? parse(`{"schema":"${named.toString()}"}`) : null;
  if (!isRecord(names)) return null;
  const { schema, table } = names;
  const layout = tables.get(JSON.stringify([schema, table]));
  if (layout === undefined) return null;
  const rows = new TableRows(layout);
  if (!rows[kind](bytes, head.body, bytes.length)) return null;
  const key = layout.key.map((at) => layout.names[at] ?? '');
  const identity = fieldsOf(rows.keys.subarray(rows.keyFrom[0], rows.keyTo[0]), key);
  if (kind === 'delete') return { action: 'D', schema, table, columns: [], identity };
  const group = rows.groups[rows.group[0] ?? 0];
  const present = layout.names.filter((_, at) => group?.present[at] === 1);
  const columns = fieldsOf(group?.bytes.subarray(rows.from[0], rows.to[0]), present);
  if (kind === 'insert') return { action: 'I', schema, table, columns, identity: [] };
  return { action: 'U', schema, table, columns, identity };
}

const ESCAPED: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };

/** A row of COPY text. */
function fieldsOf(row: Buffer | undefined, names: readonly string[]): Cells {
  const fields = row?.toString().slice(0, -1).split('\t') ?? [];
  if (names.length > 0) expect(fields.length).toBe(names.length);
  return names.map((name, at) => {
    const field = fields[at] ?? '';
    const value = field.replace(/\\(.)/g, (_, letter: string) => ESCAPED[letter] ?? letter);
    return { name, value: field === '\\N' ? null : value };
  });
}

/** Compares the three readings of a line. @returns whether the plugin can write the line. */
function readAlike(bytes: Buffer, tables: ReadonlyMap<string, RowLayout>): boolean {
  const meaning = meaningOf(bytes);
  const exact = decoded(bytes);
  const fast = folded(bytes, tables);
  // The decoder may refuse what is well-formed and makes no sense.
  if (exact !== null) same(exact, meaning, bytes);
  if (fast === null) return meaning !== null;
  const { schema, table } = fast;
  const layout = tables.get(JSON.stringify([schema, table]));
  const isKey = ({ name }: Cells[number]): boolean =>
    layout?.key.some((at) => layout.names[at] === name) === true;
  same(fast, exact && { ...exact, identity: exact.identity.filter(isKey) }, bytes);
  return true;
}

/** Fast as long as everything matches: there are many lines. */
function same(found: Meaning, expected: Meaning | null, bytes: Buffer): void {
  const text = ({ action, schema, table, columns, identity }: Meaning): string =>
    JSON.stringify([action, schema, table, columns, identity]);
  if (expected !== null && text(found) === text(expected)) return;
  expect({ line: bytes.toString(), ...found }).toEqual(expected);
}

/** A line that is damaged in one place. */
function* damaged(line: Buffer, places: readonly number[]): Generator<Buffer> {
  for (const at of places) {
    const [before, behind] = [line.subarray(0, at), line.subarray(at)];
    yield before;
    yield Buffer.concat([before, behind.subarray(1)]);
    yield Buffer.concat([before, behind.subarray(0, 1), behind]);
    for (const put of ['"', '\\', '\n', '0', ',', ' ', '\\u0041', '\\/', '\ufffd']) {
      yield Buffer.concat([before, Buffer.from(put), behind]);
    }
    for (let bit = 0; bit < 8; bit += 1) {
      const flipped = Buffer.from(line);
      flipped[at] = (line[at] ?? 0) ^ (1 << bit);
      yield flipped;
    }
  }
}

/** A part of a line, cut at the plugin's own delimiters: a field, a value, a list. */
function part(random: Pick, line: Buffer): Buffer {
  const signs = [...line.keys()].filter((at) =>
    '{}[],:"'.includes(String.fromCharCode(line[at] ?? 0)),
  );
  const [a, b] = [random.one(signs), random.one(signs)].sort((x, y) => x - y);
  return line.subarray(a, (b ?? 0) + random.below(2));
}

/** Parts that occur twice, come from another line, or are missing. */
function mixed(random: Pick, lines: readonly Buffer[]): Buffer {
  const line = random.one(lines);
  const own = part(random, line);
  const at = line.indexOf(own);
  const put = random.one([
    Buffer.concat([own, own]),
    part(random, random.one(lines)),
    Buffer.alloc(0),
  ]);
  const twice = random.chance(0.3) ? Buffer.concat([put, Buffer.from(','), put]) : put;
  return Buffer.concat([line.subarray(0, at), twice, line.subarray(at + own.length)]);
}

async function layoutsOf(feed: Feed): Promise<Map<string, RowLayout>> {
  const tables = new Map<string, RowLayout>();
  for (const name of ['t', 'T "q" é', 'whole']) {
    const { schema, columns, key } = await feed.relation('public', name);
    const names = columns.map((column) => column.name);
    tables.set(JSON.stringify([schema, name]), {
      heads: names.map((one) => Buffer.from(`{"name":${JSON.stringify(one)},"value":`)),
      names,
      kinds: names.map(() => PLAIN),
      varying: columns.map(({ typeName }) =>
        ['text', 'numeric', 'bytea', 'jsonb'].includes(typeName),
      ),
      key: (key ?? []).map((one) => names.indexOf(one)).sort((a, b) => a - b),
    });
  }
  return tables;
}

test('damaged lines of wal2json stop the stream, or read the same in both readers as in an independent one', async () => {
  const random = drawn();
  await using feed = await Feed.start(SCHEMA);
  await feed.source.query(WORK.join('; '));
  const lines = (await feed.lines()).map((line) => Buffer.from(line));
  const tables = await layoutsOf(feed);
  expect(lines.length).toBeGreaterThan(WORK.length);
  // Undamaged, all lines match, and most of them take the fast path.
  for (const line of lines) {
    expect(readAlike(line, tables), line.toString()).toBe(true);
    expect(decoded(line)).toEqual({ ...meaningOf(line), ...decoded(line) });
  }
  expect(lines.filter((line) => folded(line, tables) !== null).length).toBeGreaterThan(5);
  const seen = { mutations: 0, written: 0 };
  const take = (line: Buffer): void => {
    seen.mutations += 1;
    if (readAlike(line, tables)) seen.written += 1;
  };
  for (const line of lines) {
    const places =
      line.length <= SHORT_LINE
        ? [...line.keys()]
        : Array.from({ length: SHORT_LINE }, () => random.below(line.length));
    for (const one of damaged(line, places)) take(one);
  }
  for (let i = 0; i < RANDOM_MUTATIONS; i += 1) take(mixed(random, lines));
  process.stdout.write(`${JSON.stringify(seen)}\n`);
  // Some damage makes another line that the plugin could have written; most does not.
  expect(seen.written).toBeGreaterThan(0);
  expect(seen.mutations).toBeGreaterThan(30_000);
}, 120_000);
