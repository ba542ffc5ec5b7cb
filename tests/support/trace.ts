/** Nothing of walferry is left in either database: no schema, slot, trigger or function, whoever made it. */
import { expect } from 'vitest';
import { connectTo } from './database.ts';
import type { Lab } from './lab.ts';

const TRACES = /* sql */ `
select 'schema ' || nspname as what from pg_namespace where nspname like 'walferry%'
union all select 'slot ' || slot_name from pg_replication_slots where database = current_database()
union all select 'trigger ' || tgname from pg_trigger where tgname like '~walferry%'
union all select 'disabled trigger ' || tgname from pg_trigger where not tgisinternal and tgenabled = 'D'
union all select 'prepared ' || gid from pg_prepared_xacts where database = current_database()`;

export async function expectNoTrace({ pair }: Pick<Lab, 'pair'>): Promise<void> {
  for (const service of [pair.source, pair.target]) {
    await using client = await connectTo(service);
    expect((await client.query(TRACES)).rows, service).toEqual([]);
  }
}
