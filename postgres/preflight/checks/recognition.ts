/** Every session verifies its server (identity/connect.ts). PUBLIC may execute the function unless that was revoked. */
import type { Finding } from '../../../contract/finding.ts';
import type { Check, ServerFacts, Side } from '../facts.ts';
import { error, identifier } from '../wording.ts';

export const recognition: Check = ({ source, target }) => [
  ...(source ? recognizable('source', source) : []),
  ...(target ? recognizable('target', target) : []),
];

function recognizable(side: Side, { recognizable: may, role }: ServerFacts): Finding[] {
  if (may) return [];
  return [
    error(
      `${side}-recognition`,
      `role ${role.name} may not read the system identifier of the ${side}, which walferry needs to recognize the server`,
      `As a superuser in that database: grant execute on function pg_catalog.pg_control_system() to ${identifier(role.name)};`,
    ),
  ];
}
