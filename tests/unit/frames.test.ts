/**
 * The data of CopyData messages is separated from other messages wherever the network splits the bytes.
 */
import { expect, test } from 'vitest';
import { copyDataHeader, FrameSplitter } from '../../postgres/session/frames.ts';

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

/** Splits copies: what is pushed may be overwritten. */
function split(pieces: readonly Buffer[]): { data: string; other: string } {
  const data: Buffer[] = [];
  const other: Buffer[] = [];
  const splitter = new FrameSplitter({
    // Kept without copying, as a socket keeps unwritten data.
    copyData: (piece) => data.push(piece),
    other: (piece) => other.push(Buffer.from(piece)),
  });
  for (const piece of pieces) splitter.push(Buffer.from(piece));
  expect(splitter.atBoundary).toBe(true);
  return { data: joined(data), other: joined(other) };
}

const isData = (one: Buffer): boolean => one[0] === 0x64;
const joined = (parts: readonly Buffer[]): string => Buffer.concat(parts).toString('latin1');
const EXPECTED = {
  data: joined(STREAM.filter(isData).map((one) => one.subarray(5))),
  other: joined(STREAM.filter((one) => !isData(one))),
};

test('splitting the bytes anywhere changes nothing', () => {
  const whole = Buffer.concat(STREAM);
  for (let at = 0; at <= whole.length; at += 1) {
    expect(split([whole.subarray(0, at), whole.subarray(at)]), `cut at ${at}`).toEqual(EXPECTED);
  }
  expect(split([...whole].map((byte) => Buffer.from([byte])))).toEqual(EXPECTED);
});

test('the data of a read is passed on together, in the memory of the read', () => {
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

test('a message of data has the header that COPY FROM expects', () => {
  const header = copyDataHeader(70_000);
  expect(header.subarray(0, 1).toString()).toBe('d');
  expect(header.readUInt32BE(1)).toBe(70_004);
});
