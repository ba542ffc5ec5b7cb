/** Statements that switch a trigger, a rule or an event trigger. */
import pg from 'pg';
import type { EnabledTrigger } from '../store/disabled-trigger.ts';

const SWITCH: Readonly<Record<string, string>> = {
  O: 'enable',
  A: 'enable always',
  R: 'enable replica',
  D: 'disable',
};

/** Puts it into its recorded state again. */
export const restoringStatement = (one: EnabledTrigger): string =>
  switchTo(one, SWITCH[one.state] ?? 'enable');

export function switchTo(one: EnabledTrigger, action: string): string {
  const name = pg.escapeIdentifier(one.name);
  if (one.kind === 'event trigger') return /* sql */ `alter event trigger ${name} ${action}`;
  const table = `${pg.escapeIdentifier(one.schema_name)}.${pg.escapeIdentifier(one.table_name)}`;
  return /* sql */ `alter table only ${table} ${action} ${one.kind} ${name}`;
}
