/** Heads of lines as bytes: they agree with the decoder, which handles every other line. */
import { expect, test } from 'vitest';
import { decodeMessage } from '../../postgres/wal2json/decode.ts';
import { ByName, HeadReader } from '../../postgres/wal2json/head.ts';

const LINES = [
  '{"action":"B","xid":7,"timestamp":"2026-01-01 00:00:00.1+00","lsn":"0/1A","nextlsn":"0/1B"}',
  '{"action":"B","xid":4294967295,"timestamp":"2026-01-01 00:00:00.1+00","lsn":"0/1A"}',
  '{"action":"C","xid":7,"timestamp":"2026-01-01 00:00:00.1+00","lsn":"0/1A","nextlsn":"FFFFFFFF/1B"}',
  '{"action":"I","xid":7,"timestamp":"2026-01-01 00:00:00.1+00","lsn":"0/1A","schema":"public","table":"t","columns":[{"name":"id","value":1}]}',
  '{"action":"U","xid":7,"schema":"a\\"b.c","table":"ü \\\\","columns":[{"name":"id","value":1}],"identity":[{"name":"id","value":1}]}',
  '{"action":"D","xid":0,"lsn":"0/1A","schema":"public","table":"columns\\":[","identity":[{"name":"id","value":1}]}',
  '{"action":"T","xid":7,"lsn":"0/1A","schema":"public","table":"t"}',
  '{"action":"M","xid":7,"lsn":"0/1A","transactional":true,"prefix":"p","content":"c"}',
];
const KINDS = { B: 'begin', C: 'commit', I: 'insert', U: 'update', D: 'delete' } as const;

/** Between other bytes, as in a buffer of many lines. @param before lines that the same reader has read. */
function read(
  line: Buffer,
  ...before: readonly string[]
): {
  head: HeadReader;
  kind: ReturnType<HeadReader['read']>;
  bytes: Buffer;
} {
  const bytes = Buffer.concat([Buffer.from('{"x":"'), line, Buffer.from('"}')]);
  const head = new HeadReader();
  for (const text of before) head.read(Buffer.from(text), 0, Buffer.byteLength(text));
  return { head, kind: head.read(bytes, 6, 6 + line.length), bytes };
}

test.each(LINES.flatMap((text) => [[text], [text, text], [text, ...LINES]]))(
  '%s, after other lines',
  (text, ...before) => {
    const { head, kind, bytes } = read(Buffer.from(text), ...before);
    const message = decodeMessage(text);
    if (message.action === 'T' || message.action === 'M') {
      expect(kind).toBe('other');
      return;
    }
    expect(kind).toBe(KINDS[message.action]);
    expect(head.xid).toBe(message.xid);
    if (message.action === 'B' || message.action === 'C') {
      expect(head.lsn).toBe(message.lsn);
      if (message.action === 'B') return;
      expect(head.nextLsn).toBe(message.nextlsn);
      expect(head.timestamp).toBe(message.timestamp);
      return;
    }
    const tables = new ByName<string>();
    tables.set('other', 'table', 'wrong');
    tables.set(message.schema, message.table, 'right');
    expect(tables.get(bytes, head)).toBe('right');
    expect(tables.get(bytes, head), 'again').toBe('right');
    expect(bytes.toString('utf8', head.body, head.body + 3)).toMatch(/^,"[ci]/);
  },
);

test('a head with any byte changed, removed or cut off never names another transaction or table', () => {
  for (const text of LINES) {
    const line = Buffer.from(text);
    for (let at = 0; at < line.length; at += 1) {
      for (const changed of [
        line.subarray(0, at),
        Buffer.concat([line.subarray(0, at), line.subarray(at + 1)]),
        Buffer.concat([line.subarray(0, at), Buffer.from('"'), line.subarray(at + 1)]),
        Buffer.concat([line.subarray(0, at), Buffer.from('\\'), line.subarray(at + 1)]),
      ]) {
        const { head, kind, bytes } = read(changed);
        const later = read(changed, text);
        const { xid, lsn, nextLsn, nameFrom, nameTo, body } = head;
        expect(later.kind, 'after the whole line').toBe(kind);
        if (kind === 'other') continue;
        const seen = { xid, nameFrom, nameTo, body };
        expect(later.head).toMatchObject(kind === 'commit' ? { xid, lsn, nextLsn } : seen);
        if (kind === 'begin' || kind === 'commit') {
          expect(decodeMessage(changed.toString()).action).toBe(kind === 'begin' ? 'B' : 'C');
          continue;
        }
        expect(head.body, changed.toString()).toBeLessThanOrEqual(6 + changed.length);
        // A name with an invalid escape belongs to no table.
        const tables = new ByName<string>();
        tables.set('public', 't', 'public.t');
        const found = tables.get(bytes, head);
        if (found === undefined) continue;
        expect(changed.toString()).toContain('"schema":"public","table":"t"');
      }
    }
  }
});
