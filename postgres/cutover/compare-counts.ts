/** Compares exact row counts and values of generated columns after the drain, a few tables at a time. */
import { listed } from '../../contract/listed.ts';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { ignoredAmong } from '../catalog/ignore-patterns.ts';
import { readRelations } from '../catalog/read-relations.ts';
import { destinationOf } from '../catalog/row-destination.ts';
import { keyOfName, quoted } from '../catalog/table-name.ts';
import type { TableName } from '../catalog/selection.ts';
import { classify } from '../connection/failure.ts';
import { Planning, PRINTS_WITH_SCHEMAS } from '../session/planning.ts';
import type { Session } from '../session/session.ts';
import { runTasks } from '../schema/run-tasks.ts';
import { whileWatched } from '../session/liveness.ts';
import { stepSessions } from '../session/open.ts';
import {
  addSums,
  generatedDiffer,
  generatedOf,
  hashStatement,
  widest,
  type GeneratedColumns,
  type GeneratedDifference,
} from './generated-sum.ts';
import { openSource } from './open-source.ts';

export interface CountReport {
  readonly tables: number;
  /** Rows on each side; exact below 2^53. */
  readonly rows: number;
}

/** More sessions would only compete for disk I/O; the writers wait for this step. */
const MOST_PAIRS = 4;
const SHOWN = 10;

/** Source tables whose rows together are compared with one table on the target. */
interface Counted {
  readonly destination: TableName;
  readonly parts: TableName[];
  pages: number;
  /** Whether the target's table is counted with its partitions. */
  readonly whole: boolean;
  /** Columns that the target computes; null if there are none. */
  generated: GeneratedColumns | null;
}

/** Partitions per statement; each is a relation to open and lock. */
const PARTS_PER_STATEMENT = 200;

interface Difference {
  readonly table: string;
  readonly source: bigint;
  readonly target: bigint;
}

/**
 * Counts the rows of every selected table on both sides (`only` the table: partitions are counted separately, or against the root
 * that they go through). Skips ignored unlogged tables.
 * @throws MigrationError `NotEqual` naming tables with both counts, or generated columns that differ; `signal.reason` when
 *   aborted.
 */
export async function compareCounts(
  migration: Migration,
  input: MigrationInput,
  work: Work,
): Promise<CountReport> {
  try {
    const tables = await countable(migration, input, work);
    const place = { migration, purpose: 'cutover' } as const;
    await using sources = stepSessions({ side: 'source', ...place }, work.signal);
    await using targets = stepSessions({ side: 'target', ...place }, work.signal);
    const pairs: { source: Session; target: Session }[] = [];
    while (pairs.length < Math.min(MOST_PAIRS, input.copy.parallelism, tables.length)) {
      pairs.push({ source: await sources.open(exact), target: await targets.open(exact) });
    }
    const planning = {
      source: new Planning(migration.source, 'cutover'),
      target: new Planning(migration.target, 'cutover'),
    };
    const progress = { now: '', done: 0, total: tables.length };
    const describe = () => ({ step: 'counting rows', ...progress });
    const differences: Difference[] = [];
    const generated: GeneratedDifference[] = [];
    let rows = 0n;
    const compare = () =>
      runTasks(
        tables.map((table, id) => ({
          id,
          depends: [],
          tables: [],
          exclusive: false,
          weight: table.pages,
          label: `${table.destination.schema}.${table.destination.name}`,
          table,
        })),
        pairs,
        async (pair, { table, label }) => {
          const [source, target] = await Promise.all([
            count(pair.source, table.parts, 'only', planning.source),
            count(
              pair.target,
              [table.destination],
              table.whole ? 'whole' : 'only',
              planning.target,
            ),
          ]);
          rows += target;
          if (source !== target) differences.push({ table: label, source, target });
          else generated.push(...(await compareGenerated(pair, table, planning)));
        },
        (running, done) => Object.assign(progress, { now: running.slice(0, 3).join(', '), done }),
      );
    await whileWatched([...sources.all, ...targets.all], work, describe, compare);
    if (differences.length > 0) throw notEqual(differences);
    if (generated.length > 0) throw generatedDiffer(generated);
    return { tables: tables.length, rows: Number(rows) };
  } catch (error) {
    work.signal.throwIfAborted();
    throw classify(error, { step: 'counting rows' }, 'NotEqual');
  }
}

async function countable(
  migration: Migration,
  input: MigrationInput,
  work: Work,
): Promise<Counted[]> {
  await using source = await openSource(migration, work);
  const relations = await whileWatched(
    [source],
    work,
    () => ({ step: 'reading the tables to count' }),
    () => readRelations(source, input.tables, 'estimated'),
  );
  const { unlogged } = ignoredAmong(relations, input.ignore);
  // A partitioned table has no rows itself.
  const tables = relations.filter(({ kind }) => kind === 'r');
  // Tables that are only copied once, and roots that they go through: the expected number of rows is unknown.
  const uncountable = new Set(
    tables
      .filter((one) => one.persistence === 'u' && unlogged(one))
      .map((one) => keyOfName(destinationOf(one))),
  );
  const counted = new Map<string, Counted>();
  for (const table of tables) {
    const destination = destinationOf(table);
    if (uncountable.has(keyOfName(destination))) continue;
    const whole = table.viaRoot !== null;
    const one = counted.get(keyOfName(destination)) ?? {
      ...{ destination, parts: [], pages: 0, whole, generated: null },
    };
    one.parts.push(table);
    one.generated = widest(one.generated, generatedOf(table));
    one.pages += table.pages;
    counted.set(keyOfName(destination), one);
  }
  return [...counted.values()];
}

/** Row security must make a count fail, not smaller. An empty search_path prints object names with their schema on both sides. */
async function exact(client: pg.Client): Promise<void> {
  await client.query(/* sql */ `set row_security = off; set search_path = ''`);
}

async function compareGenerated(
  pair: { readonly source: Session; readonly target: Session },
  { destination, parts, whole, generated }: Counted,
  planning: { readonly source: Planning; readonly target: Planning },
): Promise<GeneratedDifference[]> {
  if (generated === null) return [];
  const [source, target] = await Promise.all([
    sums(pair.source, parts, true, generated, planning.source),
    sums(pair.target, [destination], !whole, generated, planning.target),
  ]);
  const columns = generated.generated.filter((_, at) => source[at] !== target[at]);
  return columns.length === 0 ? [] : [{ ...destination, columns }];
}

async function sums(
  session: Session,
  tables: readonly TableName[],
  only: boolean,
  generated: GeneratedColumns,
  planning: Planning,
): Promise<string[]> {
  const [first] = tables;
  const found: string[][] = [];
  for (let at = 0; at < tables.length; at += PARTS_PER_STATEMENT) {
    const parts = tables.slice(at, at + PARTS_PER_STATEMENT);
    const { rows } = await session.run((client) =>
      planning.run(client, first ? quoted(first) : '', (theirs) => {
        const text = hashStatement(parts, only, generated, theirs ? PRINTS_WITH_SCHEMAS : null);
        return client.query<string[]>({ text, rowMode: 'array' });
      }),
    );
    found.push(rows[0] ?? []);
  }
  return addSums(found);
}

async function count(
  session: Session,
  tables: readonly TableName[],
  how: 'only' | 'whole',
  planning: Planning,
): Promise<bigint> {
  const [first] = tables;
  const names = tables.map((table) => `${how === 'only' ? 'only ' : ''}${quoted(table)}`);
  let sum = 0n;
  for (let at = 0; at < names.length; at += PARTS_PER_STATEMENT) {
    const parts = names.slice(at, at + PARTS_PER_STATEMENT);
    const counts = parts.map((name) => `(select count(*) from ${name})`).join(' + ');
    const statement = /* sql */ `select (${counts})::text as count`;
    sum += await session.run(async (client) => {
      const { rows } = await planning.run(client, first ? quoted(first) : '', () =>
        client.query<{ count: string }>(statement),
      );
      return BigInt(rows[0]?.count ?? '0');
    });
  }
  return sum;
}

function notEqual(differences: readonly Difference[]): MigrationError {
  const texts = differences.map(
    ({ table, source, target }) => `${table} (source ${source}, target ${target})`,
  );
  return new MigrationError(
    'NotEqual',
    `row counts differ: ${listed(texts, SHOWN)}; if writers are still running, stop them, then call cutover again`,
    { table: differences[0]?.table ?? '' },
  );
}
