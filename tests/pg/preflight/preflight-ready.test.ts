/** Preflight of a pair that is ready, of one that is unreachable, and of what is in between: poolers, load balancers, TLS. */
import { describe, expect, it } from 'vitest';
import { addService, freshPair, sourceServer } from '../../support/database.ts';
import { CLEAN, codes, findingsOf, only } from '../../support/preflight.ts';
import { LOOPBACK, freePort } from '../../../scripts/local/cluster/port.ts';

describe('a pair that is ready', () => {
  it('has no findings, and keeps no slot', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    expect(await findingsOf(db)).toEqual([]);
    const slots = await db.sourceClient.query(
      /* sql */ `select from pg_replication_slots where database = current_database()`,
    );
    expect(slots.rowCount).toBe(0);
  });

  it('may have all its tables on the target, when they are empty', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    await db.targetClient.query(CLEAN);
    await db.targetClient.query('truncate person cascade');
    expect(await findingsOf(db)).toEqual([]);
  });
});

describe('reaching both sides', () => {
  it('everything is reported in one run: one side unreachable, the other inspected', async () => {
    await using db = await freshPair();
    await db.sourceClient.query('create table t (id int)');
    addService('nobody_there', { host: LOOPBACK, port: String(await freePort()), dbname: 'x' });
    const findings = await findingsOf(db, { target: 'nobody_there' });
    expect(codes(findings)).toEqual(['target-unreachable', 'replica-identity']);
    expect(only(findings, 'target-unreachable').message).toContain('"nobody_there"');
  });

  it('a service that the worker does not know is named, with where it was looked up', async () => {
    await using db = await freshPair();
    const finding = only(await findingsOf(db, { source: 'no_such_service' }), 'source-service');
    expect(finding.message).toContain('"no_such_service"');
    expect(finding.message).toContain('pg_service.conf');
  });

  it('two services of one database are refused', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    addService('again', {
      host: 'localhost',
      port: String(sourceServer().port),
      dbname: db.source,
      user: sourceServer().spec.role,
      password: sourceServer().spec.password,
    });
    expect(codes(await findingsOf(db, { target: 'again' }))).toContain('same-database');
  });
});
