/**
 * Adds the check constraints that deferred-check.ts removed and stored in the control schema to the target. They may have waited
 * for weeks, while tables were dropped or renamed and columns and constraints changed on both sides. The source's current
 * catalog shows which of them are added, and with what definition. A constraint that the target refuses does not block; the
 * cutover's summary names it (definition/compare-checks.ts).
 */
import pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { quoted } from '../catalog/table-name.ts';
import { Defaults } from '../connection/defaults.ts';
import { setFor } from '../connection/apply-settings.ts';
import { SQLSTATE } from '../connection/failure.ts';
import { inSavepoint } from '../connection/in-transaction.ts';
import { connectSource } from '../session/open.ts';
import type { Attempt, ObjectSwitch } from './switch-objects.ts';
import {
  type WaitingCheck,
  readChecks,
  markCheckAdded,
  markCheckRefused,
} from '../store/check-entry.ts';

/**
 * Whether the source decides what is added. A cutover requires it; at an abort it may be gone for good, and the stored
 * statements are used instead; an undo of the schema adds none.
 */
export type ChecksOf = 'the source' | 'the source if it is there' | 'nothing';

/** Total time for all validations of one cutover, during which writers wait. */
const VALIDATE_MS = 5_000;

/** `pg_get_constraintdef` without NOT VALID, and whether the constraint is valid now. */
interface Definition {
  readonly text: string;
  readonly valid: boolean;
}

/** Adds the waiting constraints, and validates those that are valid on the source, within a time limit. */
export async function addChecks(
  session: ObjectSwitch,
  migration: Migration,
  of: ChecksOf,
  { signal }: Attempt,
): Promise<void> {
  if (of === 'nothing') return;
  const { target } = session;
  if ((await readChecks(target, migration, 'all')).length === 0) return;
  await using source = await openSource(migration, of, signal);
  let now: ReadonlyMap<number, Definition> = new Map();
  const readCurrent = async (batch: readonly WaitingCheck[]) => {
    if (source) now = await definitionsOf(source, batch);
  };
  await session.all(
    await readChecks(target, migration, 'waiting'),
    nameOf,
    async (check) => {
      const definition = now.get(check.id);
      // Dropped on the source, or renamed: a renamed one is another constraint, and the summary names it.
      if (source && !definition) return;
      await add(target, migration, check, definition);
    },
    readCurrent,
  );
  const defaults = await Defaults.read(migration.target, 'cutover', target);
  const until = performance.now() + VALIDATE_MS;
  let there: ReadonlyMap<number, Definition> = new Map();
  // Includes constraints of an attempt that was killed before it validated them.
  await session.all(
    await readChecks(target, migration, 'added'),
    nameOf,
    async (check) => {
      const isValid = source ? now.get(check.id)?.valid === true : check.valid;
      if (!isValid || there.get(check.id)?.valid !== false) return;
      await validate(target, defaults, check, until - performance.now());
    },
    async (batch) => {
      await readCurrent(batch);
      there = await definitionsOf(target, batch);
    },
  );
}

/** @returns null when the source is unavailable and not required. */
export async function openSource(
  migration: Migration,
  of: ChecksOf,
  signal: AbortSignal | undefined,
) {
  try {
    return await connectSource(migration, 'cutover', { ...(signal && { signal }) });
  } catch (error) {
    signal?.throwIfAborted();
    if (of === 'the source') throw error;
    return null;
  }
}

/** Has no effect when the target refuses it: what it names is gone there, is something else, or exists already. */
async function add(
  target: pg.ClientBase,
  migration: Migration,
  check: WaitingCheck,
  definition: Definition | undefined,
): Promise<void> {
  const { sql, constraint } = check;
  const statement =
    definition === undefined || sql.includes(definition.text)
      ? sql
      : `alter ${placeOf(check)} add constraint ${pg.escapeIdentifier(constraint)} ${definition.text} not valid`;
  const refused = await inSavepoint(
    target,
    async () => {
      await target.query(statement);
      await markCheckAdded(target, migration, check.id, true);
    },
    isMismatch,
  );
  if (refused === null) return;
  // Tells it apart from a constraint whose mark was lost.
  await markCheckRefused(target, migration, check.id, refused);
}

/** Names of the waiting checks that still have to be added: the source has them, and the target has not refused them. */
export async function readUnadded(
  { source, target }: { readonly source: pg.ClientBase; readonly target: pg.ClientBase },
  migration: Migration,
): Promise<string[]> {
  const waiting = (await readChecks(target, migration, 'waiting')).filter(
    ({ refused }) => !refused,
  );
  if (waiting.length === 0) return [];
  const there = await definitionsOf(source, waiting);
  return waiting.filter(({ id }) => there.has(id)).map(nameOf);
}

/**
 * Class 42: a table, column, type or function is missing, a name is taken, a type does not match. Class 22: the column's new
 * type cannot parse a literal. A missing privilege is not included: the operator can grant it.
 */
function isMismatch(state: string): boolean {
  if (state === SQLSTATE.insufficientPrivilege) return false;
  return state === SQLSTATE.invalidSchemaName || state.startsWith('42') || state.startsWith('22');
}

/**
 * Uses the settings of the application's sessions: functions find their tables by them. The constraint stays even if this
 * fails: rows that break it, or a function that finds no table, are left to the report.
 */
async function validate(
  target: pg.ClientBase,
  defaults: Defaults,
  check: WaitingCheck,
  milliseconds: number,
): Promise<void> {
  if (milliseconds <= 0) return;
  const settings =
    check.kind === 'TABLE'
      ? await defaults.forTable(target, quoted(check))
      : defaults.settings(null);
  const work = async (): Promise<void> => {
    await setFor('transaction', target, settings);
    await target.query(`set local statement_timeout = ${Math.ceil(milliseconds)}`);
    await target.query(
      `alter ${placeOf(check)} validate constraint ${pg.escapeIdentifier(check.constraint)}`,
    );
    await target.query('set local statement_timeout = 0');
  };
  await inSavepoint(target, work, () => true);
}

/** Reverts {@link addChecks}. A child's constraint is dropped with its parent's unless the child also has it locally. */
export async function dropChecks(
  { target, all }: ObjectSwitch,
  migration: Migration,
): Promise<void> {
  const checks = await readChecks(target, migration, 'added');
  await all([...checks].reverse(), nameOf, async (check) => {
    const drop = `alter ${placeOf(check)} drop constraint if exists ${pg.escapeIdentifier(check.constraint)}`;
    await inSavepoint(target, () => target.query(drop), isMismatch);
    await markCheckAdded(target, migration, check.id, false);
  });
}

/** Current definitions of the checks, by their ids. */
async function definitionsOf(
  source: pg.ClientBase,
  checks: readonly WaitingCheck[],
): Promise<ReadonlyMap<number, Definition>> {
  const { rows } = await source.query<Definition & { id: number }>(
    /* sql */ `
    select w.id, regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', '') as text, k.convalidated as valid
      from jsonb_to_recordset($1::jsonb) as w (id integer, kind text, schema text, name text, "constraint" text)
      join pg_catalog.pg_namespace n on n.nspname = w.schema
      left join pg_catalog.pg_class c on w.kind = 'TABLE' and c.relnamespace = n.oid and c.relname = w.name
      left join pg_catalog.pg_type t on w.kind = 'DOMAIN' and t.typnamespace = n.oid and t.typname = w.name
      join pg_catalog.pg_constraint k on k.contype in ('c', 'n') and k.conname = w."constraint"
       and k.conrelid = coalesce(c.oid, 0) and k.contypid = coalesce(t.oid, 0)`,
    [
      JSON.stringify(
        checks.map(({ id, kind, schema, name, constraint }) => ({
          ...{ id, kind, schema, name, constraint },
        })),
      ),
    ],
  );
  return new Map(rows.map(({ id, text, valid }) => [id, { text, valid }]));
}

function placeOf(check: WaitingCheck): string {
  return `${check.kind === 'TABLE' ? 'table' : 'domain'} ${quoted(check)}`;
}

function nameOf({ schema, name, constraint }: WaitingCheck): string {
  return `check constraint ${constraint} of ${schema}.${name}`;
}
