/**
 * Sets compared with single statements: the same changes applied both ways, alternately, to a table of the given
 * service.
 *
 *   node --import tsx bench/apply.ts SERVICE [CHANGES]
 *
 * Creates and drops its own schema there. Prints times and their ratio; nothing is asserted.
 */
import pg from 'pg';
import { parseLsn } from '../contract/lsn.ts';
import { ChangeWriter } from '../postgres/apply/change-writer.ts';
import { Defaults } from '../postgres/connection/defaults.ts';
import type { Change, PlannedRelation } from '../postgres/apply/change.ts';
import { replay } from '../postgres/apply/replay.ts';
import { readTable } from '../postgres/apply/table-catalog.ts';
import { connect } from '../postgres/connection/connect.ts';

const SCHEMA = 'walferry_bench';
const ROWS = 200_000;
const ROUNDS = 5;
const DEFAULT_CHANGES = 20_000;

const [service, changesText] = process.argv.slice(2);
if (service === undefined) throw new Error('usage: bench/apply.ts SERVICE [CHANGES]');
const changes = Number(changesText ?? DEFAULT_CHANGES);

const column = (
  name: string,
  typeName: string,
  notNull: boolean,
): PlannedRelation['columns'][0] => ({
  name,
  typeName,
  baseTypeName: typeName,
  notNull,
  generated: false,
  identity: '',
});
const relation: PlannedRelation = {
  schema: SCHEMA,
  name: 'item',
  key: ['id'],
  full: false,
  columns: [
    column('id', 'integer', true),
    column('body', 'text', false),
    column('n', 'numeric', false),
  ],
};

/** A third each of inserts, updates and deletes, on separate rows. */
function work(round: number): Change[] {
  const origin = { relation, lsn: parseLsn('0/1'), xid: null };
  return Array.from({ length: changes }, (_, index): Change => {
    const id = { name: 'id', value: String(1 + round * changes + index) };
    const cells = [id, { name: 'body', value: `body of ${index}` }, { name: 'n', value: '1.50' }];
    if (index % 3 === 0) {
      const fresh = { name: 'id', value: String(10_000_000 + round * changes + index) };
      return { kind: 'insert', columns: [fresh, ...cells.slice(1)], ...origin };
    }
    if (index % 3 === 1) return { kind: 'update', columns: cells, identity: [id], ...origin };
    return { kind: 'delete', identity: [id], ...origin };
  });
}

await using client = await connect(service, 'apply');
const rows = Math.max(ROWS, changes * ROUNDS * 2);
await client.query(/* sql */ `
  drop schema if exists ${pg.escapeIdentifier(SCHEMA)} cascade;
  create schema ${pg.escapeIdentifier(SCHEMA)};
  create table ${pg.escapeIdentifier(SCHEMA)}.item (id int primary key, body text, n numeric);
  insert into ${pg.escapeIdentifier(SCHEMA)}.item select k, 'body', k from generate_series(1, ${rows}) k;
  analyze ${pg.escapeIdentifier(SCHEMA)}.item;`);
try {
  const batch = new ChangeWriter(client, await Defaults.read(service, 'apply', client));
  const table = await readTable(client, relation, 1_000);
  const timed = async (apply: () => Promise<void>): Promise<number> => {
    const started = performance.now();
    await client.query('begin');
    await apply();
    await client.query('commit');
    batch.staging.committed();
    return performance.now() - started;
  };
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const first = work(2 * round);
    const second = work(2 * round + 1);
    const sets = await timed(() => batch.apply(first));
    const steps = second
      .filter((change) => change.kind !== 'truncate')
      .map((origin) => ({ table, change: table.positioned(origin), origin }));
    const single = await timed(() => replay(client, steps));
    ratios.push(single / sets);
    console.log(
      `round ${round + 1}: ${changes} changes, sets ${sets.toFixed(0)} ms, one by one ${single.toFixed(0)} ms, ratio ${(single / sets).toFixed(1)}`,
    );
  }
  const median = ratios.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0;
  console.log(`median ratio ${median.toFixed(1)}; sets refused: ${batch.refusals}`);
} finally {
  await client.query(/* sql */ `drop schema ${pg.escapeIdentifier(SCHEMA)} cascade`);
}
