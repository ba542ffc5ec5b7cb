/** Preflight of a migration that keeps a way back: everything that it needs is known on day one. */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { addService, freshPair, sourceServer } from '../../support/database.ts';
import { codes, findingsOf } from '../../support/preflight.ts';

const INPUT = { switchback: '24h', fence: 'trigger' };

test('a pair that is ready for a way back has no finding of it', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `create table t (id int primary key)`);
  const found = codes(await findingsOf(db, { input: INPUT }));
  expect(found.filter((code) => code.startsWith('way-back'))).toEqual([]);
  const unfenced = codes(await findingsOf(db, { input: { switchback: '24h' } }));
  expect(unfenced).toContain('way-back-fence');
});

test('preflight names what the way back lacks on both sides, and its statements fix it', async () => {
  await using db = await freshPair();
  const role = `few_${randomBytes(4).toString('hex')}`;
  await db.sourceClient.query(/* sql */ `
    create table t (id int primary key); create table u (id int primary key);
    create function f() returns trigger language plpgsql as 'begin return null; end';
    create trigger always after insert on t for each row execute function f(); alter table t enable always trigger always;
    create role ${role} login replication password 'x'; grant select on t, u to ${role}`);
  try {
    addService(role, {
      ...{ host: 'localhost', port: String(sourceServer().port), dbname: db.source },
      ...{ user: role, password: 'x' },
    });
    const look = async () =>
      (await findingsOf(db, { source: role, input: INPUT })).filter(({ code }) =>
        code.startsWith('way-back'),
      );
    const found = await look();
    expect(codes(found)).toEqual([
      ...['way-back-schema', 'way-back-replica-role', 'way-back-write', 'way-back-triggers'],
    ]);
    for (const { action } of found) {
      const sql = /(?:source: )(grant [^;]+;(?: grant [^;]+;)*)/.exec(action)?.[1];
      if (sql !== undefined) await db.sourceClient.query(sql);
    }
    expect(codes(await look())).toEqual(['way-back-triggers']);
  } finally {
    await db.sourceClient.query(/* sql */ `drop owned by ${role}; drop role ${role}`);
  }
});
