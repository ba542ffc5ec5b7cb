/** The output of `walferry preflight`: both servers, then every finding with what to do. Pure. */
import type { Finding } from '../../contract/finding.ts';
import type { Side } from '../../postgres/preflight/check.ts';
import type { AllFacts } from '../../postgres/preflight/checks.ts';
import type { PluginFacts } from '../../postgres/preflight/facts/plugin.ts';
import type { ServerFacts } from '../../postgres/preflight/server.ts';
import type { Link } from '../../postgres/connection/link.ts';
import { counted, size } from '../../postgres/preflight/wording.ts';

/** Both sides and the worker, a line each. */
export function describeFacts({
  migration,
  source,
  target,
  endpoints,
  programs,
}: AllFacts): string[] {
  const lines = (['source', 'target'] as const).flatMap((side) =>
    describeSide(side, migration[side], { source, target }[side], endpoints[side]?.link),
  );
  if (source !== null) {
    const tables = source.relations.filter(({ kind }) => kind === 'r');
    const bytes = tables.reduce((sum, one) => sum + one.bytes, 0);
    const rows = tables.reduce((sum, one) => sum + one.estimatedRows, 0);
    lines.push(
      `tables   ${tables.length} selected, about ${counted(rows, 'row')}, ${size(bytes)} without indexes`,
      `wal2json ${describePlugin(source.plugin)}`,
    );
  }
  const found = programs.map(({ name, major }) => `${name} ${major ?? 'missing'}`);
  return [...lines, `worker   ${found.join(', ')}`];
}

function describeSide(
  side: Side,
  service: string,
  server: ServerFacts | null,
  link: Link | undefined,
): string[] {
  if (server === null) return [`${side}   ${service}: could not be checked`];
  const connection = link === undefined ? '' : `, ${describeLink(link)}`;
  return [
    `${side}   ${service}: PostgreSQL ${server.version}, database "${server.database}" (${server.encoding}), role ${server.role.name}${connection}`,
  ];
}

function describeLink({ place, local, encrypted, verified }: Link): string {
  if (!encrypted) return `${place} ${local ? 'on this machine' : 'without TLS'}`;
  const proof = { nothing: 'not verified', chain: 'certificate verified', host: 'host verified' };
  return `${place} with TLS, ${proof[verified]}`;
}

function describePlugin({ state, numericAsText, refusedOptions }: PluginFacts): string {
  if (state !== 'usable') return state;
  if (refusedOptions.length > 0) return `too old (does not accept ${refusedOptions.join(', ')})`;
  return numericAsText === true
    ? 'usable, accepts every option (2.6 or newer)'
    : 'usable, without numeric-data-types-as-string (2.5 or older)';
}

/** Errors first; the level is at the left edge, for a quick scan. */
export function describeFindings(findings: readonly Finding[]): string[] {
  const lines = findings.flatMap(({ level, code, message, action }) => [
    `${level.padEnd(8)} [${code}] ${message}`,
    `         → ${action}`,
    '',
  ]);
  return [...lines, total(findings)];
}

function total(findings: readonly Finding[]): string {
  const count = (level: Finding['level']): number =>
    findings.filter((one) => one.level === level).length;
  const [errors, warnings, notes] = [count('error'), count('warning'), count('note')];
  const counts = `${counted(errors, 'error')}, ${counted(warnings, 'warning')}, ${counted(notes, 'note')}`;
  return errors > 0 ? `refused: ${counts}` : `ready: ${counts}`;
}
