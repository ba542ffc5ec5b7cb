/** Settings of the applying session, in addition to the pinned ones. */
import type pg from 'pg';

/** How long a change waits for a lock before the batch is retried: an operator working on the target may hold it. */
const LOCK_TIMEOUT_MS = 30_000;
/** Memory for staging tables; a larger set spills to disk. */
const TEMP_BUFFERS_MB = 32;

const SETTINGS: Readonly<Record<string, string>> = {
  lock_timeout: String(LOCK_TIMEOUT_MS),
  temp_buffers: `${TEMP_BUFFERS_MB}MB`,
};

/** Applies those of them that the server has. */
export async function setForApplying(client: pg.Client): Promise<void> {
  await client.query(
    /* sql */ `
      select set_config(wanted.key, wanted.value, false)
        from json_each_text($1::json) wanted join pg_settings s on s.name = wanted.key`,
    [JSON.stringify(SETTINGS)],
  );
}
