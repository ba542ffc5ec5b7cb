/**
 * Settings with which a crash of the operating system, or a power failure, loses or damages what was committed. Positions, marks and
 * rows on the target count on each other, so they could differ afterwards and nothing would say so.
 */
import type { Finding } from '../../../contract/finding.ts';
import type { Check } from '../facts.ts';
import { list, statements, warning } from '../wording.ts';

export const durability: Check = ({ source, target }) => {
  const findings: Finding[] = [];
  for (const [side, server, what] of [
    ['source', source, 'it could lose rows that the target already has'],
    ['target', target, 'it could lose or damage rows that the stored position counts as applied'],
  ] as const) {
    if (server === null || server.notDurable.length === 0) continue;
    const cure = statements([
      ...server.notDurable.map((name) => `alter system set ${name} = on`),
      'select pg_reload_conf()',
    ]);
    findings.push(
      warning(
        `${side}-not-durable`,
        `the ${side} does not survive a crash of its operating system (off: ${list(server.notDurable)}): ${what}, without an error`,
        `On the ${side}: ${cure} After such a crash, abort and start again with an empty target.`,
      ),
    );
  }
  return findings;
};
