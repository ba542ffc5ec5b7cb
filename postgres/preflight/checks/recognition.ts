/** Every session verifies its server (identity/connect.ts). PUBLIC may execute the function unless that was revoked. */
import type { Finding } from '../../../contract/finding.ts';
import { identifier } from '../wording.ts';
import { defineCheck, raising, refuses, type Side } from '../check.ts';
import type { Reading } from '../reading.ts';
import type { ServerFacts } from '../server.ts';

const { codes, error } = raising({
  'source-recognition': refuses('The role may not read the system identifier of the server.'),
  'target-recognition': refuses('The role may not read the system identifier of the server.'),
});

export const recognition = defineCheck({
  codes,
  both: { recognizable: readRecognizable },
  find: ({ source, target }) => [
    ...(source ? recognizable('source', source) : []),
    ...(target ? recognizable('target', target) : []),
  ],
});

function recognizable(
  side: Side,
  { recognizable: may, role }: ServerFacts & { readonly recognizable: boolean },
): Finding[] {
  if (may) return [];
  return [
    error(
      `${side}-recognition`,
      `role ${role.name} may not read the system identifier of the ${side}, which walferry needs to recognize the server`,
      `As a superuser in that database: grant execute on function pg_catalog.pg_control_system() to ${identifier(role.name)};`,
    ),
  ];
}

/** Whether the role may read the server's system identifier. */
async function readRecognizable({ client }: Reading): Promise<boolean> {
  const { rows } = await client.query<{ may: boolean }>(
    /* sql */ `select pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute') as may`,
  );
  return rows[0]?.may === true;
}
