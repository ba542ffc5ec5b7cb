/**
 * The workflow's input and one clear message for every mistake. Pure, because the workflow itself
 * parses it (deterministically) before anything else. Messages never repeat values: an operator may have put a password
 * into the wrong field.
 */
import * as v from 'valibot';
import { inputSchema, type MigrationInput } from './input-schema.ts';

export type ParsedInput =
  | { readonly ok: true; readonly input: MigrationInput }
  | { readonly ok: false; readonly message: string };

/**
 * Field names that suggest a secret; the value is never read or repeated. Short ones only as whole words, or `during`
 * would match.
 */
const SECRET_FIELD = /passw|secret|token|conninfo|connectionstring|(?:^|[^a-z])(?:uri|url|dsn)$/i;
const SECRET_WORD = /[a-z](?:Uri|URI|Url|URL|Dsn|DSN)$/;
/** Which unknown field names may be repeated: a URI with a password may stand in place of a name. */
const FIELD_NAME = /^[\p{L}\p{N}_.-]{1,64}$/u;

/**
 * Parses what the operator passed to `temporal workflow start --input`. Never throws; the message names every wrong
 * field and what is allowed, and repeats no value.
 */
export function parseInput(raw: unknown): ParsedInput {
  if (raw === undefined || raw === null) {
    return refused(
      'the input is missing; the smallest one is {"source": "SERVICE", "target": "SERVICE"}',
    );
  }
  if (typeof raw !== 'object' || Array.isArray(raw)) {
    return refused(
      'the input must be one JSON object like {"source": "SERVICE", "target": "SERVICE"}',
    );
  }
  // valibot accepts an empty list as an object without fields.
  const list = Object.keys(inputSchema.entries).find((name) =>
    Array.isArray(Reflect.get(raw, name)),
  );
  if (list !== undefined) return refused(`"${list}" must not be a list`);
  const result = v.safeParse(inputSchema, raw);
  if (!result.success) return refused(result.issues.map(describe).join('; '));
  const input = result.output;
  const bytes = namesOf(input).reduce((sum, name) => sum + utf8.encode(name).length, 0);
  if (bytes > MOST_NAME_BYTES) {
    return refused(
      `the patterns and names in "tables" and "ignore" take ${bytes} bytes; the limit is ${MOST_NAME_BYTES}: use "*" and "?", or name whole schemas`,
    );
  }
  if (input.source === input.target) {
    return refused('"target" must be a different service than "source"');
  }
  return { ok: true, input };
}

/**
 * Limit for all patterns and names together. The input is part of every step that reads the tables: Temporal accepts 2
 * MB for one payload and 4 MB per gRPC request, and ends a workflow whose history exceeds 50 MB. Also, each pattern is
 * matched against each table.
 */
export const MOST_NAME_BYTES = 16_384;
const utf8 = new TextEncoder();

function namesOf({ tables, ignore }: MigrationInput): string[] {
  return [
    ...[...tables.include, ...tables.exclude, ...tables.viaPartitionRoot],
    ...[...ignore.missingIdentity, ...ignore.unlogged],
    ...[...ignore.extensions, ...ignore.eventTriggers],
  ];
}

/** The known fields of a group of the input; the empty name is the input itself. */
function knownIn(group: string): string[] {
  if (group === 'guard.query') return ['sql', 'ceiling'];
  for (const [name, field] of Object.entries(inputSchema.entries)) {
    if (name === group && 'wrapped' in field && 'entries' in field.wrapped) {
      return Object.keys(field.wrapped.entries);
    }
  }
  return Object.keys(inputSchema.entries);
}

function refused(reason: string): ParsedInput {
  return { ok: false, message: `invalid input: ${reason}` };
}

const groupOf = (path: readonly v.IssuePathItem[]): string =>
  path
    .slice(0, -1)
    .map(({ key }) => String(key))
    .join('.');

function describe(issue: v.BaseIssue<unknown>): string {
  const field = v.getDotPath(issue) ?? 'input';
  if (issue.expected === 'never') {
    const named = FIELD_NAME.test(field) ? `"${field}"` : '(its name is not repeated here)';
    if (SECRET_FIELD.test(field) || SECRET_WORD.test(field)) {
      return `field ${named} is not allowed: secrets never pass through Temporal; name a service and keep the password in PGPASSFILE on the worker`;
    }
    const group = groupOf(issue.path ?? []);
    return `unknown field ${named}; known ${group === '' ? 'fields' : `in "${group}"`}: ${knownIn(group).join(', ')}`;
  }
  if (issue.type === 'strict_object') {
    return issue.received === 'undefined'
      ? `"${field}" is missing`
      : `"${field}" must be an object`;
  }
  return `"${field}" ${issue.message}`;
}
