/** Results of preflight. Pure data: facts go in, findings come out, and all are shown at once. */
export interface Finding {
  /** `error` refuses the migration; `warning` needs the operator's decision; `note` reports what may be unexpected. */
  readonly level: Level;
  /** Stable kebab-case name, for scripts and for docs; see postgres/preflight/check.ts. */
  readonly code: string;
  /** What is wrong, with the names of the objects. */
  readonly message: string;
  /** What to do, with SQL or a command if there is one. */
  readonly action: string;
}

/** In display order. */
const LEVELS = ['error', 'warning', 'note'] as const;
export type Level = (typeof LEVELS)[number];

/** Keeps a failure readable in a terminal and in the Web UI. */
const SHOWN = 30;

/** Errors first, then warnings, then notes; within a level in the order of the checks. */
export function inOrder(findings: readonly Finding[]): Finding[] {
  return LEVELS.flatMap((level) => findings.filter((one) => one.level === level));
}

/** `2 errors (and 1 warning, 3 notes)`: errors always, other levels only if there are any. */
export function countFindings(findings: readonly Finding[]): string {
  const counted = LEVELS.map((level) => {
    const count = findings.filter((one) => one.level === level).length;
    return { level, count, text: `${count} ${level}${count === 1 ? '' : 's'}` };
  });
  const [errors, ...others] = counted;
  const rest = others.filter(({ count }) => count > 0).map(({ text }) => text);
  return `${errors?.text ?? ''}${rest.length === 0 ? '' : ` (and ${rest.join(', ')})`}`;
}

/** The findings as one readable text, errors first. */
export function renderFindings(findings: readonly Finding[]): string {
  const ordered = inOrder(findings);
  const lines = ordered.slice(0, SHOWN).map((one, i) => {
    // Errors are the default; only other levels are labelled.
    const level = one.level === 'error' ? '' : ` ${one.level}:`;
    return `${i + 1}. [${one.code}]${level} ${one.message}. ${one.action}`;
  });
  if (ordered.length > SHOWN) {
    lines.push(`and ${ordered.length - SHOWN} more: walferry preflight shows all`);
  }
  return lines.join('\n');
}

/** One line for each, for Current Details and `progress`, which also contain other notes. */
export function noteFindings(findings: readonly Finding[]): string[] {
  const notes = inOrder(findings).map(
    ({ level, code, message, action }) => `${level} [${code}]: ${message}. ${action}`,
  );
  const more = notes.length - SHOWN;
  return more > 0 ? [...notes.slice(0, SHOWN), `and ${more} more findings`] : notes;
}
