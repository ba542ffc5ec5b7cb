/** Whether these servers have what a case needs. */
import type pg from 'pg';
import { probeNumericAsText } from '../../../postgres/wal2json/probe.ts';
import type { Need, FidelityCase } from './case.ts';

/** What the case lacks, in words; null for nothing. */
export async function missingFor(
  fidelityCase: FidelityCase,
  source: pg.ClientBase,
  target: pg.ClientBase,
): Promise<string | null> {
  for (const need of fidelityCase.needs) {
    const missing = await missingOne(need, source, target);
    if (missing !== null) return missing;
  }
  return null;
}

async function missingOne(
  need: Need,
  source: pg.ClientBase,
  target: pg.ClientBase,
): Promise<string | null> {
  switch (need.kind) {
    case 'extension': {
      for (const client of [source, target]) {
        const { rowCount } = await client.query(
          /* sql */ `select from pg_available_extensions where name = $1`,
          [need.name],
        );
        if (rowCount === 0) return `extension ${need.name} is not installed here`;
      }
      return null;
    }
    case 'wal2json':
      return (await hasNumericAsText(source)) ? null : 'the wal2json here is 2.5 or older';
    case 'source':
    case 'target': {
      const client = need.kind === 'source' ? source : target;
      const { rows } = await client.query<{ major: number }>(
        /* sql */ `select current_setting('server_version_num')::int / 10000 as major`,
      );
      const major = rows[0]?.major ?? 0;
      return major >= need.major ? null : `the ${need.kind} is PostgreSQL ${major} here`;
    }
  }
}

async function hasNumericAsText(source: pg.ClientBase): Promise<boolean> {
  const slot = 'fidelity_probe';
  await source.query(/* sql */ `select pg_create_logical_replication_slot($1, 'wal2json', true)`, [
    slot,
  ]);
  try {
    return await probeNumericAsText(source, slot);
  } finally {
    // An error in decoding drops a temporary slot.
    await source.query(
      /* sql */ `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1`,
      [slot],
    );
  }
}
