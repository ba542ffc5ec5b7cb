/** Connections for the copy: each copy stream needs one on either side, other sessions need a few more. */
import { counted } from '../wording.ts';
import { defineCheck, raising, ofEachSide, onEachSide, warns } from '../check.ts';
import type { Reading } from '../reading.ts';

const { codes, warning } = raising(
  ofEachSide({ sessions: warns('There may be too few free connections for the copy.') }),
);

/** Snapshot owner (on both sides), planner, stream, its control session, limits or guard, and one spare for a reconnect. */
const OTHER_SESSIONS = 6;

export const sessionCount = defineCheck({
  codes,
  both: { sessions: readSessions },
  find: ({ source, target, input }) => {
    const streams = Math.max(input.copy.parallelism, input.limits.copyStreams);
    const needed = streams + OTHER_SESSIONS;
    return onEachSide({ source, target }, (side, { sessions: { most, used } }) => {
      const free = Math.max(0, most - used);
      return (
        free < needed &&
        warning(
          `${side}-sessions`,
          `the ${side} has ${counted(free, 'free connection')} (${used} of ${most} are in use), but the copy needs about ${needed}`,
          `Lower "copy.parallelism", or raise max_connections (or the limit of the role or database) on the ${side}.`,
        )
      );
    });
  },
});

interface SessionCounts {
  /** The smallest limit for our role: the server's, the database's or the role's. */
  readonly most: number;
  readonly used: number;
}

async function readSessions({ client }: Reading): Promise<SessionCounts> {
  const { rows } = await client.query<SessionCounts>(/* sql */ `
    select least(
             current_setting('max_connections')::int4 - case when r.rolsuper then 0 else
               current_setting('superuser_reserved_connections')::int4
               + coalesce(current_setting('reserved_connections', true), '0')::int4 end,
             case when d.datconnlimit >= 0 and not r.rolsuper then d.datconnlimit end,
             case when r.rolconnlimit >= 0 and not r.rolsuper then r.rolconnlimit end)::int4 as most,
           (select count(*)::int4 from pg_catalog.pg_stat_activity
             where backend_type is null or backend_type = 'client backend') as used
      from pg_catalog.pg_database d, pg_catalog.pg_roles r
     where d.datname = current_database() and r.rolname = current_user`);
  return rows[0] ?? { most: 0, used: 0 };
}
