/** The check before a commit where the source has nothing to say about it. */
import pg from 'pg';
import { expect, test } from 'vitest';
import { verifyCatalog } from '../../postgres/drift/verify-catalog.ts';

test('a batch of transactions that the target has already is not committed either while one of their names is in doubt', async () => {
  const known = {
    ...{ fingerprints: new Map(), left: [] },
    types: { byTable: new Map(), fingerprints: new Map(), names: new Map() },
    ...{ renamed: () => Promise.resolve(), schemas: new Map() },
    refuseDoubtful: () => {
      throw new Error('in doubt');
    },
  };
  // It is not connected: there is nothing to ask.
  const source = new pg.Client();
  const batch = { relations: new Set<never>(), xids: new Set<never>() };
  const verified = verifyCatalog(source, batch, known, () => Promise.resolve());
  await expect(verified).rejects.toThrow('in doubt');
});
