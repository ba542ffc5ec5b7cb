/** CopyData frames are told from other messages wherever the network cuts the bytes. */
import { expect, test } from 'vitest';
import { FrameSplitter } from '../../postgres/connection/frames.ts';

const message = (type: string, body: string): Buffer => {
  const bytes = Buffer.alloc(5 + Buffer.byteLength(body));
  bytes.write(type, 0, 'latin1');
  bytes.writeUInt32BE(bytes.length - 1, 1);
  bytes.write(body, 5);
  return bytes;
};

const STREAM = [
  message('H', 'copy out'),
  message('d', 'first row'),
  message('d', ''),
  message('N', 'a notice between two rows'),
  message('d', 'third row, which looks like d\u0000\u0000\u0000\u0005'),
  message('c', ''),
  message('C', 'COPY 3'),
  message('Z', 'T'),
];

function split(pieces: readonly Buffer[]): { data: string; other: string; bytes: number } {
  const data: Buffer[] = [];
  const other: Buffer[] = [];
  const splitter = new FrameSplitter({
    copyData: (piece) => data.push(Buffer.from(piece)),
    other: (piece) => other.push(Buffer.from(piece)),
  });
  for (const piece of pieces) splitter.push(piece);
  expect(splitter.atBoundary).toBe(true);
  const text = (parts: Buffer[]): string => Buffer.concat(parts).toString('latin1');
  return { data: text(data), other: text(other), bytes: splitter.bytes };
}

const isData = (one: Buffer): boolean => one[0] === 0x64;
const joined = (parts: readonly Buffer[]): string => Buffer.concat(parts).toString('latin1');
const EXPECTED = {
  data: joined(STREAM.filter(isData)),
  other: joined(STREAM.filter((one) => !isData(one))),
  bytes: STREAM.filter(isData).reduce((sum, one) => sum + one.length - 5, 0),
};

test('cutting the bytes anywhere changes nothing', () => {
  const whole = Buffer.concat(STREAM);
  for (let at = 0; at <= whole.length; at += 1) {
    expect(split([whole.subarray(0, at), whole.subarray(at)]), `cut at ${at}`).toEqual(EXPECTED);
  }
  expect(split([...whole].map((byte) => Buffer.from([byte])))).toEqual(EXPECTED);
});

test('frames of a read are handed on together, without being copied', () => {
  const read = Buffer.concat(STREAM.slice(1, 3));
  const pieces: Buffer[] = [];
  const splitter = new FrameSplitter({
    copyData: (piece) => pieces.push(piece),
    other: () => expect.unreachable(),
  });
  splitter.push(read);
  expect(pieces).toHaveLength(1);
  expect(pieces[0]?.buffer).toBe(read.buffer);
});
