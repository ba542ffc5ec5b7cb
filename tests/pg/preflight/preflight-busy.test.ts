/** Preflight of a source with transactions that are open or prepared. */
import { describe, expect, it } from 'vitest';
import { connectTo, freshPair } from '../../support/database.ts';
import { CLEAN, findingsOf, only } from '../../support/preflight.ts';

describe('a busy source', () => {
  it('an open transaction does not hold up preflight: a warning names it', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    await using blocker = await connectTo(db.source);
    const { rows } = await blocker.query<{ pid: number }>('select pg_backend_pid() as pid');
    await blocker.query("begin; insert into person values (2, 'y')");
    const finding = only(await findingsOf(db, { busy: true }), 'open-transactions');
    expect(finding.message).toContain(`pid ${rows[0]?.pid}`);
    await blocker.query('commit');
    expect(await findingsOf(db)).toEqual([]);
  });

  it('a prepared transaction is named with its age and the SQL that ends it', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    const gid = `gid of ${db.source}`;
    await db.sourceClient.query("begin; insert into person values (3, 'z')");
    await db.sourceClient.query(`prepare transaction '${gid}'`);
    const finding = only(await findingsOf(db, { busy: true }), 'prepared-transactions');
    expect(finding.level).toBe('warning');
    expect(finding.message).toMatch(
      new RegExp(`"${gid}" \\(database "${db.source}", prepared \\d+ s ago\\)`),
    );
    await db.sourceClient.query(`rollback prepared '${gid}'`);
    expect(await findingsOf(db)).toEqual([]);
  });
});
