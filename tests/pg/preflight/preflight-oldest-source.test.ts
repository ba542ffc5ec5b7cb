/**
 * A source of the oldest supported version. It has no wal2json, so a whole migration cannot run; the queries of the source's
 * catalogs before the copy can. `npm run setup -- --versions` fetches the server; without it these tests are skipped.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRelations, readRelationsNamed } from '../../../postgres/catalog/read-relations.ts';
import { readDefinitions } from '../../../postgres/catalog/table-definition.ts';
import { connect } from '../../../postgres/connection/connect.ts';
import { registerMigration } from '../../../postgres/store/migration.ts';

import { compareCounts } from '../../../postgres/cutover/compare-counts.ts';
import { writeEndMark } from '../../../postgres/stream/end-mark.ts';
import { checkLines } from '../../../postgres/cutover/other-differences.ts';
import { definitionLines } from '../../support/definition-lines.ts';
import { setSequences } from '../../../postgres/cutover/set-sequences.ts';
import { refuseUnlogged } from '../../../postgres/cutover/unlogged-refusal.ts';
import { readIdentity } from '../../../postgres/identity/identity.ts';
import { readDoubtfulChecks } from '../../../postgres/archive/doubtful-check.ts';
import { cutTables } from '../../../postgres/snapshot/chunking.ts';
import { LOOPBACK } from '../../../scripts/local/cluster/port.ts';
import type { PostgresServer } from '../../../scripts/local/cluster/postgres-server.ts';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { inputOf, migrationOf, recordedWork } from '../../support/control.ts';
import { addService, freshPair } from '../../support/database.ts';
import { codes, findingsOf, only } from '../../support/preflight.ts';
import { serverOf } from '../../support/versions.ts';
import { createStore } from '../../../postgres/store/upgrade.ts';

const SERVICE = 'oldest_source';
const oldest = findOther(13);

describe.skipIf(!oldest)('a source of PostgreSQL 13', () => {
  let server: PostgresServer;

  beforeAll(async () => {
    if (!oldest) return;
    server = await serverOf('source', oldest);
    const { role: user, password } = server.spec;
    addService(SERVICE, {
      host: LOOPBACK,
      port: String(server.port),
      dbname: 'postgres',
      user,
      password,
    });
    await server.query('postgres', (client) =>
      client.query(/* sql */ `
        create table big (id int primary key, filler text) with (fillfactor = 10);
        insert into big select i, repeat('x', 500) from generate_series(1, 2000) i`),
    );
  });

  afterAll(() => server.stop('immediate'));

  it('copies each table as one chunk, because every range of blocks would read the whole table', async () => {
    await using source = await connect(SERVICE, 'plan');
    const relations = await readRelations(source, { include: ['*.*'], exclude: [] });
    expect(relations).toMatchObject([{ name: 'big', splittable: false }]);
    expect(
      (
        await readDefinitions(
          source,
          relations.map(({ oid }) => oid),
        )
      ).size,
    ).toBe(1);
    const big = relations.map((one) => ({ ...one, id: 1 }));
    const chunkBytes = (big[0]?.bytes ?? 0) / 10;
    expect(cutTables(big, chunkBytes)).toMatchObject([{ firstBlock: null, endBlock: null }]);
    // The same table is split where ranges can be scanned, so that this test can fail.
    await using pair = await freshPair();
    await pair.targetClient.query(/* sql */ `create table big (id int primary key, filler text)`);
    const [newer] = await readRelationsNamed(pair.targetClient, relations);
    expect(newer?.splittable).toBe(true);
    expect(
      cutTables(
        big.map((one) => ({ ...one, splittable: true })),
        chunkBytes,
      ),
    ).toHaveLength(10);
  });

  it('is fully inspected by preflight, which reports how tables are copied', async () => {
    await using db = await freshPair();
    const found = await findingsOf(db, { source: SERVICE });
    expect(codes(found)).not.toContain('source-not-inspected');
    expect(only(found, 'whole-tables').message).toContain('13.');
    expect(codes(found)).toContain('plugin-missing');
  });

  it('is read by the steps of the cutover and by the query for doubtful checks', async () => {
    await using db = await freshPair();
    await using source = await connect(SERVICE, 'cutover');
    const table = /* sql */ `create table big (id int primary key, filler text)`;
    await server.query('postgres', (client) =>
      client.query(/* sql */ `
        create function positive(int) returns bool stable language sql as 'select $1 > (select min(id) - 1 from big)';
        create table checked (id int primary key check (positive(id)));
        create table part (id serial primary key) partition by range (id); create table part_1 partition of part default`),
    );
    expect(await readDoubtfulChecks(source)).toMatchObject([{ name: 'checked' }]);
    await db.targetClient.query(/* sql */ `${table};
      create table checked (id int primary key);
      create table part (id serial primary key) partition by range (id); create table part_1 partition of part default`);
    await createStore(db.targetClient, db.target);
    const migration = { ...migrationOf(db), source: SERVICE };
    const sourceDatabase = 'postgres';
    await registerMigration(db.targetClient, {
      ...{ migration, sourceDatabase, tablesCreated: true, archive: null },
      source: await readIdentity(source, SERVICE),
    });
    const input = inputOf(db, { source: SERVICE });
    const differences = await definitionLines(migration, input);
    expect(differences).toEqual([
      'function public.positive(integer) is on the source only',
      'public.big: storage parameter fillfactor is on the source only',
      'public.checked: constraint checked_id_check is on the source only',
    ]);
    await refuseUnlogged(migration, input, new AbortController().signal);
    expect((await setSequences(migration, input)).sequences).toBe(1);
    expect(await checkLines(migration)).toEqual([]);
    expect(await writeEndMark(migration)).toMatch('/');
    await expect(compareCounts(migration, input, recordedWork())).rejects.toMatchObject({
      code: 'NotEqual',
    });
  });

  it('with old_snapshot_threshold gets a warning with the statement that disables it', async () => {
    await server.query('postgres', (client) =>
      client.query(/* sql */ `alter system set old_snapshot_threshold = '1h'`),
    );
    const port = server.port;
    await server.stop();
    expect(await server.start(port)).toBe(port);
    await using db = await freshPair();
    const found = await findingsOf(db, { source: SERVICE });
    expect(only(found, 'old-snapshot')).toMatchObject({ level: 'warning' });
  });
});
