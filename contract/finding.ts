/** What preflight has to say. Pure data: facts go in, findings come out, all are shown at once. */
export interface Finding {
  readonly level: 'error' | 'warning';
  /** Stable kebab-case name, for scripts and for docs. */
  readonly code: string;
  /** What is the matter, with the names of the objects. */
  readonly message: string;
  /** What to do, with the SQL or the command where there is one. */
  readonly action: string;
}

/** At most so many findings go into a failure's message: Temporal cuts messages at 4 KiB. */
const SHOWN = 30;

/** The findings as one readable text, errors first. */
export function renderFindings(findings: readonly Finding[]): string {
  const ordered = [...findings].sort((a, b) => a.level.localeCompare(b.level));
  const lines = ordered
    .slice(0, SHOWN)
    .map((f, i) => `${i + 1}. [${f.code}] ${f.message}. ${f.action}`);
  if (ordered.length > SHOWN) lines.push(`and ${ordered.length - SHOWN} more`);
  return lines.join('\n');
}
