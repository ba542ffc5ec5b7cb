/** Connections for the copy: each copy stream needs one on either side, other sessions need a few more. */
import type { Check } from '../facts.ts';
import { counted, warning } from '../wording.ts';

/** Snapshot owner (on both sides), planner, stream, its control session, limits or guard, and one spare for a reconnect. */
const OTHER_SESSIONS = 6;

export const sessionCount: Check = ({ source, target, input }) => {
  const streams = Math.max(input.copy.parallelism, input.limits.copyStreams);
  const needed = streams + OTHER_SESSIONS;
  return (
    [
      ['source', source],
      ['target', target],
    ] as const
  ).flatMap(([side, server]) => {
    if (server === null) return [];
    const { most, used } = server.sessions;
    const free = Math.max(0, most - used);
    if (free >= needed) return [];
    return [
      warning(
        `${side}-sessions`,
        `the ${side} has ${counted(free, 'free connection')} (${used} of ${most} are in use), but the copy needs about ${needed}`,
        `Lower "copy.parallelism", or raise max_connections (or the limit of the role or database) on the ${side}.`,
      ),
    ];
  });
};
