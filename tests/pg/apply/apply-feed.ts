/**
 * Feeds the applier in tests with real output of wal2json: a pair of databases, a slot on the source, the project's decoder,
 * and relations read from the source's catalog.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { parseLsn } from '../../../contract/lsn.ts';
import type { Lsn } from '../../../contract/lsn.ts';
import { slotName } from '../../../contract/slot-name.ts';
import type { Migration } from '../../../contract/migration.ts';
import type { Change, PlannedColumn, PlannedRelation } from '../../../postgres/apply/change.ts';
import { TargetApplier } from '../../../postgres/apply/applier.ts';
import { takeEpoch } from '../../../postgres/store/epoch.ts';
import { decodeMessage } from '../../../postgres/wal2json/decode.ts';
import { pluginOptions } from '../../../postgres/wal2json/plugin-options.ts';
import { freshPair } from '../../support/database.ts';
import type { FreshPair } from '../../support/database.ts';
import { createStore } from '../../../postgres/store/upgrade.ts';

const COLUMNS = /* sql */ `
  select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as not_null,
         a.attgenerated <> '' as generated, a.attidentity::text as identity,
         format_type(case t.typtype when 'd' then t.typbasetype else t.oid end, null) as base
    from pg_attribute a join pg_type t on t.oid = a.atttypid
   where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum`;

const KEY = /* sql */ `
  select array_agg(a.attname::text order by k.n) as key
    from pg_index i cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, n)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
   where i.indrelid = $1 and i.indimmediate
     and case $2 when 'i' then i.indisreplident else i.indisprimary end`;

export class Feed implements AsyncDisposable {
  readonly pair: FreshPair;
  readonly migration: Migration;
  readonly #relations = new Map<string, PlannedRelation>();
  #confirmed: Lsn = parseLsn('0/1');

  private constructor(pair: FreshPair, migration: Migration) {
    this.pair = pair;
    this.migration = migration;
  }

  /** Databases with the same schema (and rows) on both sides, and a slot on the source. */
  static async start(schema: string): Promise<Feed> {
    const pair = await freshPair();
    const id = randomUUID();
    const migration = {
      id,
      workflowId: 'apply-test',
      source: pair.source,
      target: pair.target,
      slot: slotName('apply-test', id),
    };
    const feed = new Feed(pair, migration);
    for (const client of [pair.sourceClient, pair.targetClient]) await client.query(schema);
    await createStore(pair.targetClient, pair.target);
    await pair.targetClient.query(
      /* sql */ `insert into walferry.migration (id, workflow_id, slot, source_system, source_database, consistent_lsn)
                 values ($1, 'apply-test', $2, '1', $3, '0/1')`,
      [id, migration.slot, pair.source],
    );
    await pair.sourceClient.query(
      /* sql */ `select pg_create_logical_replication_slot($1, 'wal2json')`,
      [migration.slot],
    );
    return feed;
  }

  get source(): pg.Client {
    return this.pair.sourceClient;
  }

  get target(): pg.Client {
    return this.pair.targetClient;
  }

  /** Everything committed on the source since the last call, as the plugin wrote it. */
  async lines(): Promise<string[]> {
    const options = Object.entries(
      pluginOptions({ schemas: ['public'], numericAsText: false }),
    ).flat();
    const { rows } = await this.source.query<{ data: string }>(
      /* sql */ `select data from pg_logical_slot_get_changes($1, null, null, variadic $2)`,
      [this.migration.slot, options],
    );
    return rows.map(({ data }) => data);
  }

  /** Everything committed on the source since the last call, in commit order. */
  async changes(): Promise<Change[]> {
    const lines = await this.lines();
    const changes: Change[] = [];
    let lsn = this.#confirmed;
    let truncated: { lsn: Lsn | null; relations: PlannedRelation[] } | undefined;
    for (const data of lines) {
      const message = decodeMessage(data);
      if (message.action === 'B') lsn = message.lsn;
      if (message.action === 'C') this.#confirmed = message.nextlsn;
      if (message.action === 'B' || message.action === 'C' || message.action === 'M') continue;
      const relation = await this.relation(message.schema, message.table);
      const origin = { lsn, xid: message.xid };
      if (message.action === 'T') {
        if (truncated && truncated.lsn === message.lsn) {
          truncated.relations.push(relation);
          continue;
        }
        truncated = { lsn: message.lsn, relations: [relation] };
        changes.push({ kind: 'truncate', relations: truncated.relations, ...origin });
      } else if (message.action === 'I') {
        changes.push({ kind: 'insert', relation, columns: message.columns, ...origin });
      } else if (message.action === 'U') {
        const { columns, identity } = message;
        changes.push({ kind: 'update', relation, columns, identity, ...origin });
      } else {
        changes.push({ kind: 'delete', relation, identity: message.identity, ...origin });
      }
    }
    return changes;
  }

  open(): Promise<TargetApplier> {
    return TargetApplier.open(this.migration, { numericAsText: false });
  }

  /** Applies everything that the source has as one batch in one transaction; returns how often sets were refused. */
  async apply(): Promise<{ refusals: number; changes: number }> {
    const changes = await this.changes();
    await using applier = await this.open();
    await this.applyWith(applier, changes);
    return { refusals: applier.refusals, changes: changes.length };
  }

  async applyWith(applier: TargetApplier, changes: readonly Change[]): Promise<void> {
    const { epoch } = await takeEpoch(applier.client, this.migration);
    await applier.begin(epoch);
    await applier.apply(changes);
    await applier.commit({
      confirmedLsn: this.#confirmed,
      transactions: 1,
      changes: changes.length,
      consistent: true,
    });
  }

  /** A table of the source as the plan knows it. */
  async relation(schema: string, name: string): Promise<PlannedRelation> {
    const id = JSON.stringify([schema, name]);
    const known = this.#relations.get(id);
    if (known) return known;
    const { rows } = await this.source.query<{ oid: number; identity: string }>(
      /* sql */ `select c.oid, c.relreplident::text as identity from pg_class c
                 where c.relname = $1 and c.relnamespace = $2::regnamespace`,
      [name, schema],
    );
    const { oid, identity } = rows[0] ?? { oid: 0, identity: 'd' };
    const columns = await this.source.query<{
      name: string;
      type: string;
      not_null: boolean;
      generated: boolean;
      identity: '' | 'a' | 'd';
      base: string;
    }>(COLUMNS, [oid]);
    const key = await this.source.query<{ key: string[] | null }>(KEY, [oid, identity]);
    const relation: PlannedRelation = {
      schema,
      name,
      key: key.rows[0]?.key ?? null,
      full: identity === 'f',
      columns: columns.rows.map((row): PlannedColumn => ({
        name: row.name,
        typeName: row.type,
        baseTypeName: row.base,
        notNull: row.not_null,
        generated: row.generated,
        identity: row.identity,
      })),
    };
    this.#relations.set(id, relation);
    return relation;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pair[Symbol.asyncDispose]();
  }
}
