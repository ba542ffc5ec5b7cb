/** Preflight of a target that is not empty, and of what earlier migrations left on both sides. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { slotName } from '../../../contract/slot-name.ts';
import { freshPair } from '../../support/database.ts';
import { CLEAN, codes, findingsOf, migrationOf, only } from '../../support/preflight.ts';
import { createStore } from '../../../postgres/store/upgrade.ts';

describe('tables on the target', () => {
  it('with rows, only some of them, or with a name that another object has are refused by name', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    await db.targetClient.query(`
      create table person (id bigint primary key, name text); insert into person values (1, 'x');
      create view purchase as select 1`);
    const findings = await findingsOf(db);
    expect(codes(findings)).toEqual(['target-clash', 'target-rows', 'target-mixed']);
    expect(only(findings, 'target-clash').message).toContain('public.purchase');
    expect(only(findings, 'target-rows').message).toContain('public.person');
    expect(only(findings, 'target-mixed').message).toContain('app.Order, public.event');
  });
});

describe('what earlier migrations left', () => {
  it('a slot of the same workflow id is refused with the cleanup command, another one is a warning', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    const workflowId = `orders-${randomBytes(4).toString('hex')}`;
    const create = /* sql */ `select pg_create_logical_replication_slot($1, 'wal2json')`;
    await db.sourceClient.query(create, [slotName(`${workflowId}_b`, 'another run')]);
    const warned = await findingsOf(db, { workflowId });
    expect(codes(warned)).toEqual(['other-slot']);
    await db.sourceClient.query(create, [slotName(workflowId, 'an earlier run')]);
    const refused = only(await findingsOf(db, { workflowId }), 'leftover-slot');
    expect(refused.message).toContain(slotName(workflowId, 'an earlier run'));
    expect(refused.action).toContain(
      `walferry cleanup ${db.source} ${db.target} --workflow-id ${workflowId}`,
    );
  });

  it('after a reset to the beginning, the slot and control rows of the same migration are reported with both fixes', async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    const workflowId = `orders-${randomBytes(4).toString('hex')}`;
    const migration = migrationOf(db.source, db.target, workflowId);
    const { id, slot } = migration;
    await db.sourceClient.query(
      /* sql */ `select pg_create_logical_replication_slot($1, 'wal2json')`,
      [slot],
    );
    await createStore(db.targetClient, db.target);
    await db.targetClient.query(
      /* sql */ `insert into walferry.migration (id, workflow_id, slot, source_system, source_database)
                 values ($1, $2, $3, '1', 'd')`,
      [id, workflowId, slot],
    );
    const findings = await findingsOf(db, { migration });
    expect(codes(findings)).toEqual(['leftover-slot', 'leftover-control']);
    expect(only(findings, 'leftover-slot').message).toMatch(
      new RegExp(`${slot} .* retains \\d+ MB of WAL`),
    );
    for (const { action } of findings) {
      expect(action).toContain(
        `temporal workflow reset -w ${workflowId} --run-id RUN --type LastWorkflowTask --reapply-exclude Update`,
      );
      expect(action).toContain(
        `walferry cleanup ${db.source} ${db.target} --workflow-id ${workflowId}`,
      );
    }
  });

  it("another migration's control rows on the target are refused with its workflow id", async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    await createStore(db.targetClient, db.target);
    expect(await findingsOf(db)).toEqual([]);
    await db.targetClient
      .query(`insert into walferry.migration (id, workflow_id, slot, source_system, source_database)
      values ('x', 'it''s mine', 's', '1', 'd')`);
    const finding = only(await findingsOf(db), 'leftover-control');
    expect(finding.message).toContain(`"it's mine"`);
    expect(finding.action).toContain(`--workflow-id 'it'\\''s mine'`);
  });

  it("a schema of that name which is not walferry's is refused", async () => {
    await using db = await freshPair();
    await db.sourceClient.query(CLEAN);
    await db.targetClient.query('create schema walferry');
    expect(codes(await findingsOf(db))).toEqual(['control-schema']);
  });
});
