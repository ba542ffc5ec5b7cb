/** What the lines of the stream mean across the end of a lease. */
import { expect, test } from 'vitest';
import { formatLsn, type Lsn } from '../../contract/lsn.ts';
import { TableMappings } from '../../postgres/drift/table-mapping.ts';
import { Line } from '../../postgres/replication/line-store.ts';
import { Intake } from '../../postgres/stream/intake.ts';
import type { LoopParts } from '../../postgres/stream/loop-parts.ts';
import { SnapshotMarks } from '../../postgres/stream/snapshot-mark.ts';

const at = (n: number): Lsn => formatLsn(BigInt(n));
const MARK = { lsn: at(100), nonce: 'n1' };

/** A lease from position 50 on, whose plan expects the mark at 100. */
function lease(): LoopParts {
  return {
    mappings: new TableMappings(),
    marks: new SnapshotMarks([MARK], at(50)),
    ...{ newest: null, numericAsText: true, doubt: null },
    limits: { changes: 1, bytes: 1, age: 0, messageBytes: 10_000 },
    writer: { checkpoint: { confirmedLsn: at(50) } },
    // No line of these tests needs the other parts.
  } as unknown as LoopParts;
}

function take(intake: Intake, text: string): Promise<void> | null {
  const bytes = Buffer.from(text);
  return intake.line(new Line(bytes, 0, bytes.length));
}

const message = (content: string): string =>
  `{"action":"M","xid":null,"timestamp":null,"lsn":"0/64","transactional":false,"prefix":"walferry","content":${JSON.stringify(content)}}`;
const transaction = [
  '{"action":"B","xid":7,"timestamp":"t","lsn":"0/70"}',
  '{"action":"C","xid":7,"timestamp":"t","lsn":"0/70","nextlsn":"0/80"}',
];

test('a mark that arrived before the lease ended is not expected again in the next one', async () => {
  const intake = new Intake(lease(), () => undefined);
  await take(intake, message('{"nonce":"n1"}'));
  intake.continueWith(lease());
  for (const line of transaction) await take(intake, line);
  expect(intake.horizon.position).toBe(at(0x80));
});

test('a mark that never arrives is missed at the first commit behind it', () => {
  const intake = new Intake(lease(), () => undefined);
  intake.continueWith(lease());
  const [begin = '', commit = ''] = transaction;
  void take(intake, begin);
  expect(() => take(intake, commit)).toThrow(expect.objectContaining({ code: 'SourceRewound' }));
});
