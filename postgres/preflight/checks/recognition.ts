/** Every session verifies its server (session/open.ts). PUBLIC may execute the function unless that was revoked. */
import { identifier } from '../wording.ts';
import { defineCheck, raising, ofEachSide, onEachSide, refuses } from '../check.ts';
import { value } from '../reading.ts';

const { codes, error } = raising(
  ofEachSide({
    recognition: refuses('The role may not read the system identifier of the server.'),
  }),
);

export const recognition = defineCheck({
  codes,
  both: {
    recognizable: value<boolean>(
      /* sql */ `select pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute')`,
    ),
  },
  find: (facts) =>
    onEachSide(
      facts,
      (side, { recognizable, role }) =>
        !recognizable &&
        error(
          `${side}-recognition`,
          `role ${role.name} may not read the system identifier of the ${side}, which walferry needs to recognize the server`,
          `As a superuser in that database: grant execute on function pg_catalog.pg_control_system() to ${identifier(role.name)};`,
        ),
    ),
});
