/** Bytes of the stream become text strictly. */
import { constants } from 'node:buffer';
import { expect, test } from 'vitest';
import { LineFailure, textOfLine } from '../../postgres/replication/line.ts';
import { parseLsn } from '../../contract/lsn.ts';

test('text of all planes of Unicode passes unchanged', () => {
  const text = '{"value":"é 漢 🙂 \u0000 \uffff"}';
  expect(textOfLine(Buffer.from(text))).toBe(text);
});

test('bytes of another encoding stop the stream instead of becoming replacement characters', () => {
  const line = textOfLine(Buffer.from('{"value":"été"}', 'latin1'));
  const failure = line instanceof LineFailure ? line.at(parseLsn('0/10')) : null;
  expect(failure).toMatchObject({ code: 'StreamMalformed', details: { lsn: '0/10' } });
  expect(failure?.message).toMatch(/not UTF-8/);
});

test('a message too long for a string stops the stream with its size', () => {
  const line = textOfLine(Buffer.alloc(constants.MAX_STRING_LENGTH + 1));
  expect(line instanceof LineFailure && line.at(parseLsn('0/10')).message).toMatch(
    /is 512 MiB long/,
  );
});
