/**
 * A batch that failed leaves a gap: nothing after it may be committed, or its position would confirm the gap.
 */
import { expect, test } from 'vitest';
import { MigrationError } from '../../contract/failure.ts';
import { parseLsn } from '../../contract/lsn.ts';
import { TargetWriter, type Applying } from '../../postgres/stream/target-writer.ts';

test('after a batch that failed no later batch reaches the target', async () => {
  const start = parseLsn('0/10');
  const committed: string[] = [];
  let fail = true;
  const applying: Applying = {
    begin: () => Promise.resolve(),
    applyFolded: () => Promise.resolve('applied'),
    prepareFolded: () => undefined,
    apply: () =>
      fail ? Promise.reject(new MigrationError('Contention', 'deadlock')) : Promise.resolve(),
    commit: ({ confirmedLsn }) => Promise.resolve(void committed.push(confirmedLsn)),
    rollback: () => Promise.resolve(),
  };
  const attempt = {
    epoch: 1n,
    confirmedLsn: start,
    transactions: 0,
    changes: 0,
    consistent: true,
  };
  const writer = new TargetWriter(applying, attempt, null);
  const relation = { schema: 's', name: 't', key: ['id'], full: false, columns: [] };
  const batch = (end: string) => ({
    folded: [],
    changes: [{ kind: 'insert' as const, relation, columns: [], lsn: start, xid: 1 }],
    exactly: () => [],
    size: 1,
    relations: new Set([relation]),
    end: parseLsn(end),
    transactions: 1,
    committedAt: null,
    xids: new Set([1]),
  });
  await expect(writer.write(batch('0/20'))).rejects.toMatchObject({ code: 'Contention' });
  fail = false;
  await expect(writer.write(batch('0/30'))).rejects.toMatchObject({ code: 'Internal' });
  expect(committed).toEqual([]);
});
