/** A case's part of two databases, compared: rows, sequences, catalogs, and its own queries. */
import type pg from 'pg';
import { compareCatalogs, readCatalogs } from './catalog.ts';
import { compareSequences, compareTable, readTables } from './rows.ts';
import type { Step, FidelityCase } from './case.ts';

/** Everything a case owns besides the schema of its name: schemas named `NAME__anything`. */
export const MORE = '__';

/** What differs, in words; both sessions have the settings of `PIN`. */
export async function compareCase(
  fidelityCase: FidelityCase,
  source: pg.ClientBase,
  target: pg.ClientBase,
): Promise<string[]> {
  const schemas = await schemasOf(source, fidelityCase);
  const wrong: string[] = [];
  const own = fidelityCase.sections.target.length > 0;
  const tables = await readTables(source, schemas, own);
  for (const table of tables) wrong.push(...(await compareTable(source, target, table)));
  wrong.push(...(await compareSequences(source, target, schemas)));
  // Tables that the operator created are meant to differ.
  if (!own) {
    const [left, right] = [
      await readCatalogs(source, schemas),
      await readCatalogs(target, schemas),
    ];
    for (const schema of schemas) {
      wrong.push(...compareCatalogs(left.get(schema), right.get(schema)));
    }
  }
  for (const step of fidelityCase.sections.compare) {
    if (step.kind === 'sql')
      wrong.push(...(await compareQuery(fidelityCase, step, source, target)));
  }
  return wrong;
}

async function compareQuery(
  fidelityCase: FidelityCase,
  step: Step & { kind: 'sql' },
  source: pg.ClientBase,
  target: pg.ClientBase,
): Promise<string[]> {
  const answers: string[] = [];
  for (const client of [source, target]) {
    try {
      const { rows } = await client.query<unknown[]>({ text: step.sql, rowMode: 'array' });
      answers.push(JSON.stringify(rows));
    } catch (error) {
      answers.push(error instanceof Error ? error.message : String(error));
    }
  }
  const [left, right] = answers;
  if (left === right) return [];
  return [`${fidelityCase.file}:${step.line}: ${right ?? ''} instead of ${left ?? ''}`];
}

/** The case's schemas in this database. */
export async function schemasOf(
  client: pg.ClientBase,
  fidelityCase: FidelityCase,
): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    /* sql */ `select nspname as name from pg_catalog.pg_namespace
      where nspname = $1 or starts_with(nspname, $2) order by 1`,
    [fidelityCase.name, fidelityCase.name + MORE],
  );
  return rows.map(({ name }) => name);
}
