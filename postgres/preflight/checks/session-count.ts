/** Connections for the copy: each lane holds one on either side, and holder, stream and control a few more. */
import type { Check } from '../facts.ts';
import { counted, warning } from '../wording.ts';

/** Holder (on both sides), planner, stream, its control session, limits or guard, and one to spare for a reconnect. */
const BESIDE_THE_LANES = 6;

export const sessionCount: Check = ({ source, target, input }) => {
  const streams = Math.max(input.copy.parallelism, input.limits.copyStreams);
  const needed = streams + BESIDE_THE_LANES;
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
        `the ${side} has ${counted(free, 'free connection')} (${used} of ${most} are used), and the copy takes about ${needed}`,
        'Lower "copy.parallelism", or raise max_connections (or the limit of the role or database) there.',
      ),
    ];
  });
};
