/**
 * Lines as they arrive: split anywhere, between other messages, and kept longer than the read that contained them.
 */
import { expect, test } from 'vitest';
import { WalSplitter } from '../../postgres/replication/splitter.ts';
import { Line, LineStore } from '../../postgres/replication/line-store.ts';

function message(type: string, body: Buffer | string): Buffer {
  const bytes = Buffer.from(body);
  const frame = Buffer.alloc(5 + bytes.length);
  frame.write(type, 0, 'latin1');
  frame.writeUInt32BE(4 + bytes.length, 1);
  bytes.copy(frame, 5);
  return frame;
}

/** As a walsender frames a line: kind, start, end, clock. */
function data(line: string, low = 0): Buffer {
  const head = Buffer.alloc(25);
  head.write('w', 0, 'latin1');
  head.writeUInt32BE(0x16, 1);
  head.writeUInt32BE(low, 5);
  return message('d', Buffer.concat([head, Buffer.from(line)]));
}

const KEEPALIVE = message('d', Buffer.concat([Buffer.from('k'), Buffer.alloc(17, 0x77)]));
const STREAM = [
  message('W', 'copy both'),
  data('{"action":"B"}', 0xb374d848),
  data(`{"value":"${'é€😀'.repeat(40)}"}`),
  KEEPALIVE,
  data(''),
  message('N', 'a notice with dw in it'),
  data('{"action":"C"}', 1),
  message('c', ''),
  message('d', ''),
  message('C', 'COPY 0'),
  message('Z', 'I'),
];
const isLine = (one: Buffer): boolean => one[0] === 0x64 && one[5] === 0x77 && one.length > 29;

/** What arrives, in order: lines with their positions, and the bytes that the driver gets. */
function received(parts: readonly Buffer[]): string[] {
  const seen: string[] = [];
  let other: Buffer[] = [];
  const flush = (): void => {
    if (other.length > 0) seen.push(`driver ${Buffer.concat(other).toString('latin1')}`);
    other = [];
  };
  const splitter = new WalSplitter({
    line: (bytes, from, to, high, low) => {
      flush();
      const line = new Line(bytes, from, to, high, low);
      seen.push(`${line.lsn} ${line.own.toString()}`);
    },
    other: (piece) => other.push(Buffer.from(piece)),
  });
  for (const part of parts) splitter.push(Buffer.from(part));
  flush();
  return seen;
}

test('split at every byte, the same lines and messages arrive in the same order', () => {
  const wire = Buffer.concat(STREAM);
  const expected = received([wire]);
  expect(expected.filter((one) => !one.startsWith('driver'))).toEqual([
    '16/B374D848 {"action":"B"}',
    `16/0 {"value":"${'é€😀'.repeat(40)}"}`,
    '16/0 ',
    '16/1 {"action":"C"}',
  ]);
  const others = STREAM.filter((one) => !isLine(one));
  expect(expected.map((one) => (one.startsWith('driver ') ? one.slice(7) : '')).join('')).toBe(
    Buffer.concat(others).toString('latin1'),
  );
  for (let at = 0; at <= wire.length; at += 1) {
    const cut = [wire.subarray(0, at), wire.subarray(at)];
    expect(received(cut), `cut at ${at}`).toEqual(expected);
  }
  const bytes = Array.from({ length: wire.length }, (_, at) => wire.subarray(at, at + 1));
  expect(received(bytes)).toEqual(expected);
});

test('everything for the driver reaches it once the read has ended, as far as it is complete', () => {
  for (const last of [message('c', ''), message('Z', 'I'), KEEPALIVE]) {
    const wire = Buffer.concat([data('{}'), last]);
    expect(received([wire])).toEqual(['16/0 {}', `driver ${last.toString('latin1')}`]);
  }
});

test('a data message that is too short for its head is refused', () => {
  expect(() => received([message('d', 'w too short')])).toThrow(RangeError);
});

test('lines of any size keep their bytes longer than the read that contained them, and do not keep the read in memory', () => {
  const store = new LineStore();
  const sizes = [0, 1, 300, 16_000, 17_000, 300_000];
  const kept: { line: Line; text: string }[] = [];
  for (let round = 0; round < 60; round += 1) {
    const text = String.fromCharCode(97 + (round % 26)).repeat(sizes[round % sizes.length] ?? 0);
    const read = Buffer.concat([Buffer.alloc(400_000), Buffer.from(text), Buffer.alloc(9)]);
    const line = new Line(read, 400_000, 400_000 + text.length);
    store.keep(line);
    expect(line.bytes.buffer).not.toBe(read.buffer);
    kept.push({ line, text });
    read.fill(0);
  }
  for (const { line, text } of kept) {
    expect(line.length).toBe(text.length);
    expect(line.own.toString()).toBe(text);
  }
});
