/** Whether the role may create schemas on the target. */
import { shared, type TargetReading } from '../reading.ts';

export const mayCreateSchemas = shared(async ({ client }: TargetReading): Promise<boolean> => {
  const { rows } = await client.query<{ may: boolean }>(
    /* sql */ `select has_database_privilege(current_database(), 'create') as may`,
  );
  return rows[0]?.may === true;
});
