/**
 * Check constraints that are deferred until the cutover (see doubtful-check.ts): removed from the statements that create their tables
 * and domains, and added NOT VALID after the last change is applied. From then on they apply to new rows, as on the source. Those that
 * hold and can be checked soon are validated, too; the rest is reported.
 */
import pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { ArchiveEntry } from './archive.ts';
import type { DoubtfulCheck } from './doubtful-check.ts';

export interface DeferredCheck {
  readonly check: DoubtfulCheck;
  /** Adds it, NOT VALID, and its comment. */
  readonly sql: string;
  /** Whether it is valid on the source. */
  readonly valid: boolean;
}

/** pg_dump writes `ALTER TABLE … ADD CONSTRAINT` for those that are not valid on the source, or that close a dependency cycle. */
const SEPARATE = 'CHECK CONSTRAINT';

/** Removes the checks from the entries, except those whose text is not found. Pure. */
export function deferChecks<T extends ArchiveEntry>(
  entries: readonly T[],
  checks: readonly DoubtfulCheck[],
): { readonly kept: readonly T[]; readonly checks: readonly DeferredCheck[] } {
  const deferred: DeferredCheck[] = [];
  const kept = new Map(entries.map((entry) => [entry.id, entry]));
  const named = new Map<string, T[]>();
  for (const entry of entries) {
    const key = JSON.stringify([entry.schema, entry.name]);
    named.set(key, [...(named.get(key) ?? []), entry]);
  }
  for (const check of checks) {
    const of = (name: string) => named.get(JSON.stringify([check.schema, name])) ?? [];
    const comment = commentTags(check)
      .flatMap(of)
      .filter(({ kind }) => kind === 'COMMENT');
    const whole = of(check.name).find(({ kind }) => kind === check.kind);
    const separate = of(`${check.name} ${check.constraint}`).find(({ kind }) => kind === SEPARATE);
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

/** pg_dump quotes the names in such a tag where they need it. */
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

/** The constraint's own line in a CREATE statement: pg_dump indents a table's by spaces, a domain's by a tab. */
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
    // A comma stands before it, or (for the first of all) behind it.
    const before = sql.charAt(at - 1) === ',' ? at - 1 : at;
    const after = before === at && sql.charAt(end) === ',' ? end + 1 : end;
    return {
      rest: sql.slice(0, before) + sql.slice(after),
      sql: `ALTER ${kind} ${place} ADD ${text} NOT VALID;`,
    };
  }
  return undefined;
}

/** Behind the closing parenthesis, and what may follow it. */
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
      const noInherit = ' NO INHERIT';
      return at + 1 + (sql.startsWith(noInherit, at + 1) ? noInherit.length : 0);
    }
  }
  return undefined;
}

/** As it is named in reports: `CHECK app.entry.entry_val_check`. */
export function nameCheck({ check }: DeferredCheck): string {
  return `CHECK ${check.schema}.${check.name}.${check.constraint}`;
}

/**
 * Beside the archive's entries, with numbers that those cannot have; `name` is the table's or domain's, and `tables` holds
 * the constraint's. Only this file reads the phase.
 */
export async function storeChecks(
  target: pg.ClientBase,
  migration: string,
  position: number,
  checks: readonly DeferredCheck[],
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.schema_entry
      (migration, position, id, phase, kind, schema_name, name, sql, depends, tables)
    select $1, $2 + c.at, -c.at, 'checks', c.kind || case when c.valid then ' CHECK' else ' CHECK NOT VALID' end, c.schema, c.name, c.sql, '{}', array[c."constraint"]
      from jsonb_to_recordset($3::jsonb) as c (at integer, kind text, schema text, name text, "constraint" text, sql text, valid boolean)`,
    [
      migration,
      position,
      JSON.stringify(checks.map(({ check, ...more }, i) => ({ ...check, ...more, at: i + 1 }))),
    ],
  );
}

/** Time limit for all validations of one cutover, during which writers wait. */
const VALIDATE_MS = 5_000;

interface StoredCheck {
  readonly place: string;
  readonly constraint: string;
  readonly sql: string;
  readonly valid: boolean;
}

/** Adds them in the caller's transaction, and validates those that hold and can be checked soon. */
export async function addChecks(
  target: pg.ClientBase,
  migration: Migration,
  at: (what: string) => void,
): Promise<void> {
  const checks = await turned(target, migration, true);
  for (const { place, constraint, sql } of checks) {
    at(`check constraint ${constraint} of ${place}`);
    await target.query(sql);
  }
  const until = performance.now() + VALIDATE_MS;
  for (const { place, constraint, valid } of checks) {
    if (!valid) continue;
    const left = until - performance.now();
    if (left <= 0) return;
    await validate(target, `alter ${place} validate constraint ${constraint}`, left);
  }
}

/** The constraint stays even if this fails; rows that break it, or a function that finds no table, are reported. */
async function validate(target: pg.ClientBase, sql: string, milliseconds: number): Promise<void> {
  try {
    await target.query(
      `savepoint validating; set local statement_timeout = ${Math.ceil(milliseconds)}`,
    );
    await target.query(sql);
    await target.query('set local statement_timeout = 0; release savepoint validating');
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    await target.query('rollback to savepoint validating; release savepoint validating');
  }
}

/** Takes {@link addChecks} back. A child's goes with its parent's unless it is its own, too. */
export async function dropChecks(target: pg.ClientBase, migration: Migration): Promise<void> {
  const checks = await turned(target, migration, false);
  for (const { place, constraint } of checks.reverse()) {
    await target.query(`alter ${place} drop constraint if exists ${constraint}`);
  }
}

/** Children's before their parents': a constraint that a child inherits already cannot be added to it, the other way merges. */
async function turned(
  target: pg.ClientBase,
  migration: Migration,
  added: boolean,
): Promise<StoredCheck[]> {
  const { rows } = await target.query<StoredCheck>(
    /* sql */ `
    with recursive turned as (
      update walferry.schema_entry set done_at = case when $2 then now() end
       where migration = $1 and phase = 'checks' and (done_at is null) = $2
      returning id, kind, schema_name, name, tables[1] as "constraint", sql
    ), line (id, oid) as (
      select t.id, c.oid from turned t
        join pg_catalog.pg_namespace n on n.nspname = t.schema_name
        join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.name and t.kind like 'TABLE %'
      union
      select line.id, i.inhparent from line join pg_catalog.pg_inherits i on i.inhrelid = line.oid
    )
    select split_part(t.kind, ' ', 1) || format(' %I.%I', t.schema_name, t.name) as place,
           quote_ident(t."constraint") as "constraint", t.sql, t.kind not like '% NOT VALID' as valid
      from turned t order by (select count(*) from line where line.id = t.id) desc, t.id desc`,
    [migration.id, added],
  );
  return rows;
}
