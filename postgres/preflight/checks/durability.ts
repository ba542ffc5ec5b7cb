/**
 * Settings with which an operating system crash or a power failure loses or damages committed data. Positions and rows on the
 * target must agree; after such a crash they could differ, and nothing would report it.
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
    const fix = statements([
      ...server.notDurable.map((name) => `alter system set ${name} = on`),
      'select pg_reload_conf()',
    ]);
    findings.push(
      warning(
        `${side}-not-durable`,
        `the ${side} does not survive an operating system crash (off: ${list(server.notDurable)}): ${what}, without an error`,
        `On the ${side}: ${fix} After such a crash, abort and restart with an empty target.`,
      ),
    );
  }
  return findings;
};
