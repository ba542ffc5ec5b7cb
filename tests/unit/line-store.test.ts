/** Lines as they come off the wire: cut anywhere, and out of a buffer that the driver writes again. */
import { PassThrough } from 'node:stream';
import pg from 'pg';
import { expect, test } from 'vitest';
import { LineStore, type Line } from '../../postgres/replication/line-store.ts';

const LINES = ['{"action":"B"}', `{"value":"${'é€😀'.repeat(40)}"}`, '', '{"action":"C"}'];

/** CopyData as a walsender frames it. */
function framed(line: string): Buffer {
  const text = Buffer.from(line);
  const frame = Buffer.alloc(5 + text.length);
  frame.write('d');
  frame.writeInt32BE(4 + text.length, 1);
  text.copy(frame, 5);
  return frame;
}

/** The lines that arrive when the bytes come in these parts. */
function received(parts: readonly Buffer[]): string[] {
  const socket = new PassThrough();
  // The driver's own reading of a socket, which its types leave out.
  const connection: pg.Connection & { attachListeners?: (of: PassThrough) => void } =
    new pg.Connection();
  const store = new LineStore();
  const lines: Line[] = [];
  connection.on('copyData', ({ chunk }: { chunk: Buffer }) => lines.push(store.keep(chunk)));
  connection.attachListeners?.(socket);
  for (const part of parts) socket.emit('data', Buffer.from(part));
  return lines.map((line) => line.own.toString());
}

test('cut at every byte, the same lines arrive', () => {
  const wire = Buffer.concat(LINES.map(framed));
  for (let at = 0; at <= wire.length; at += 1) {
    expect(received([wire.subarray(0, at), wire.subarray(at)])).toEqual(LINES);
  }
  const bytes = Array.from({ length: wire.length }, (_, at) => wire.subarray(at, at + 1));
  expect(received(bytes)).toEqual(LINES);
});

test('lines of any size keep their bytes, however many come after them', () => {
  const store = new LineStore();
  const sizes = [0, 1, 300, 16_000, 17_000, 300_000];
  const kept: { line: Line; text: string }[] = [];
  for (let round = 0; round < 60; round += 1) {
    const text = String.fromCharCode(97 + (round % 26)).repeat(sizes[round % sizes.length] ?? 0);
    const buffer = Buffer.from(text);
    kept.push({ line: store.keep(buffer), text });
    buffer.fill(0);
  }
  for (const { line, text } of kept) {
    expect(line.length).toBe(text.length);
    expect(line.own.toString()).toBe(text);
  }
});
