/**
 * Check and NOT NULL constraints that are deferred until the cutover (see doubtful-check.ts): removed from the statements that
 * create their tables and domains, and added NOT VALID after the last change is applied. From then on they apply to new rows, as
 * on the source. Those that hold and can be checked quickly are also validated; the others are reported.
 */
import { grouped } from '../../contract/grouped.ts';
import pg from 'pg';
import type { ArchiveEntry } from './archive.ts';
import type { DoubtfulCheck } from './doubtful-check.ts';

export interface DeferredCheck {
  readonly check: DoubtfulCheck;
  /** Adds the constraint, NOT VALID, and its comment. */
  readonly sql: string;
  /** Whether it is valid on the source. */
  readonly valid: boolean;
}

/**
 * pg_dump writes `ALTER TABLE … ADD CONSTRAINT` for constraints that are not valid on the source, or that close a dependency
 * cycle. A NOT NULL constraint is then a CONSTRAINT, like keys; constraint names are unique per table.
 */
const SEPARATE = new Set(['CHECK CONSTRAINT', 'CONSTRAINT']);

/** Kinds of entries that contain a check, or are about one. */
const CHECKED = new Set(['TABLE', 'DOMAIN', 'COMMENT', ...SEPARATE]);

/** Removes the checks from the entries, except those whose text is not found. Pure. */
export function deferChecks<T extends ArchiveEntry>(
  entries: readonly T[],
  checks: readonly DoubtfulCheck[],
): { readonly kept: readonly T[]; readonly checks: readonly DeferredCheck[] } {
  if (checks.length === 0) return { kept: entries, checks: [] };
  const deferred: DeferredCheck[] = [];
  const kept = new Map(entries.map((entry) => [entry.id, entry]));
  const named = grouped(
    entries.filter(({ kind }) => CHECKED.has(kind)),
    ({ schema, name }) => JSON.stringify([schema, name]),
  );
  for (const check of checks) {
    const of = (name: string) => named.get(JSON.stringify([check.schema, name])) ?? [];
    const comment = commentTags(check)
      .flatMap(of)
      .filter(({ kind }) => kind === 'COMMENT');
    const whole = of(check.name).find(({ kind }) => kind === check.kind);
    const separate = of(`${check.name} ${check.constraint}`).find(({ kind }) => SEPARATE.has(kind));
    const add = separate
      ? notValid(separate.sql)
      : whole && cut(kept.get(whole.id) ?? whole, check);
    if (!add) continue;
    if (separate) kept.delete(separate.id);
    else if (typeof add !== 'string' && whole) kept.set(whole.id, { ...whole, sql: add.rest });
    for (const { id } of comment) kept.delete(id);
    const sql = [typeof add === 'string' ? add : add.sql, ...comment.map((one) => one.sql)];
    const valid = separate === undefined || notValid(separate.sql) !== separate.sql;
    deferred.push({ check, sql: sql.join('\n'), valid });
  }
  return { kept: entries.flatMap(({ id }) => kept.get(id) ?? []), checks: deferred };
}

/** pg_dump quotes the names in such a tag where necessary. */
function commentTags({ kind, name, constraint }: DoubtfulCheck): string[] {
  const both = (one: string) => [...new Set([one, pg.escapeIdentifier(one)])];
  return both(constraint).flatMap((part) =>
    both(name).map(
      (whole) => `CONSTRAINT ${part} ON ${kind === 'DOMAIN' ? 'DOMAIN ' : ''}${whole}`,
    ),
  );
}

function notValid(sql: string): string {
  return / NOT VALID;$/.test(sql) ? sql : `${sql.replace(/;$/, '')} NOT VALID;`;
}

/** Cuts the constraint's line out of a CREATE statement: pg_dump indents a table's with spaces, a domain's with a tab. */
function cut(
  { sql }: ArchiveEntry,
  { kind, schema, name, constraint }: DoubtfulCheck,
): { rest: string; sql: string } | undefined {
  const quoted = pg.escapeIdentifier(constraint);
  for (const one of [constraint, quoted]) {
    const begin = `${kind === 'DOMAIN' ? '\n\t' : '\n    '}CONSTRAINT ${one} CHECK (`;
    const at = sql.indexOf(begin);
    if (at < 0) continue;
    const end = endOf(sql, at + begin.length);
    if (end === undefined) return undefined;
    const text = sql.slice(at, end).trim();
    const place = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
    // The comma precedes it, or (for the first element) follows it.
    const before = sql.charAt(at - 1) === ',' ? at - 1 : at;
    const after = before === at && sql.charAt(end) === ',' ? end + 1 : end;
    return {
      rest: sql.slice(0, before) + sql.slice(after),
      sql: `ALTER ${kind} ${place} ADD ${text} NOT VALID;`,
    };
  }
  return undefined;
}

/** In the order in which the server prints them. */
const ATTRIBUTES = [' NO INHERIT', ' NOT ENFORCED'];

/** Position after the closing parenthesis and the attributes that may follow it. */
function endOf(sql: string, from: number): number | undefined {
  let depth = 1;
  let quote = '';
  for (let at = from; at < sql.length; at++) {
    const letter = sql.charAt(at);
    if (quote !== '') {
      if (letter === quote) quote = '';
    } else if (letter === "'" || letter === '"') quote = letter;
    else if (letter === '(') depth += 1;
    else if (letter === ')' && --depth === 0) {
      // NOT ENFORCED is new in PostgreSQL 18; if it stayed, it would apply to the column before.
      return ATTRIBUTES.reduce(
        (end, one) => end + (sql.startsWith(one, end) ? one.length : 0),
        at + 1,
      );
    }
  }
  return undefined;
}

/** Name of the check in reports: `CHECK app.entry.entry_val_check`. */
export function nameCheck({ check }: DeferredCheck): string {
  return `CHECK ${check.schema}.${check.name}.${check.constraint}`;
}
