/** Whether the role may create schemas on the target. */
import { shared, value } from '../reading.ts';

export const mayCreateSchemas = shared(
  value<boolean>(/* sql */ `select has_database_privilege(current_database(), 'create')`),
);
