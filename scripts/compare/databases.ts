/** Comparing two databases: every table of both sides, every sequence, each side at one moment. */
import { matches, readSequences, readTables } from './catalog.ts';
import { CompareError, Psql } from './psql.ts';
import { compareTable } from './table.ts';
import type { Hashing, TableResult } from './table.ts';

export interface SequenceResult {
  readonly sequence: string;
  readonly source: string;
  readonly target: string;
}

export interface CompareResult {
  readonly equal: boolean;
  readonly seconds: number;
  readonly tables: readonly TableResult[];
  /** Compared sequences, and those that differ. */
  readonly sequences: number;
  readonly differingSequences: readonly SequenceResult[];
}

export interface CompareSettings {
  readonly source: string;
  readonly target: string;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly sequences: boolean;
  readonly md5: boolean;
  readonly show: number;
}

const ABSENT = 'not there';

/**
 * @param report called after each table.
 * @throws CompareError when a service is unknown, a server does not answer, a pattern matches no table, both services
 * are the same database, or there is nothing to compare.
 */
export async function compare(
  settings: CompareSettings,
  report: (result: TableResult) => void = () => undefined,
): Promise<CompareResult> {
  const began = performance.now();
  // Opened together, so that the two moments are close to each other.
  await using sides = await openBoth(settings.source, settings.target);
  const { source, target } = sides;
  const [here, there] = await Promise.all([readTables(source), readTables(target)]);
  const selected = select([...new Set([...here, ...there].map((table) => table.name))], settings);
  await expectTwoDatabases(source, target, settings);
  const hashing = settings.md5 ? 'md5' : await commonHashing(source, target);

  const tables: TableResult[] = [];
  const [onSource, onTarget] = [here, there].map(
    (side) => new Map(side.map((table) => [table.name, table])),
  );
  for (const name of selected) {
    const left = onSource?.get(name);
    const right = onTarget?.get(name);
    const result =
      left && right
        ? await compareTable(
            source,
            target,
            { source: left, target: right },
            { hashing, show: settings.show },
          )
        : missing(name, left === undefined ? 'source' : 'target');
    tables.push(result);
    report(result);
    await Promise.all([source.giveBackLocks(), target.giveBackLocks()]);
  }
  const sequences = settings.sequences ? await compareSequences(source, target) : [];
  // Two empty databases are most likely the wrong ones.
  if (tables.length === 0 && sequences.length === 0) {
    throw new CompareError(
      `nothing to compare: no table is selected in "${settings.source}" and "${settings.target}"`,
    );
  }
  const differingSequences = sequences.filter((sequence) => sequence.source !== sequence.target);
  return {
    equal: tables.every((table) => table.equal) && differingSequences.length === 0,
    seconds: (performance.now() - began) / 1000,
    tables,
    sequences: sequences.length,
    differingSequences,
  };
}

interface Sides extends AsyncDisposable {
  readonly source: Psql;
  readonly target: Psql;
}

async function openBoth(source: string, target: string): Promise<Sides> {
  const opened = await Promise.allSettled([Psql.open(source), Psql.open(target)]);
  const [first, second] = opened;
  if (first.status === 'fulfilled' && second.status === 'fulfilled') {
    return {
      source: first.value,
      target: second.value,
      [Symbol.asyncDispose]: async () => {
        await Promise.all([
          first.value[Symbol.asyncDispose](),
          second.value[Symbol.asyncDispose](),
        ]);
      },
    };
  }
  const reasons: string[] = [];
  for (const result of opened) {
    if (result.status === 'fulfilled') await result.value[Symbol.asyncDispose]();
    else
      reasons.push(result.reason instanceof Error ? result.reason.message : String(result.reason));
  }
  throw new CompareError(reasons.join('\n'));
}

function select(names: readonly string[], settings: CompareSettings): string[] {
  for (const pattern of settings.include) {
    if (!names.some((name) => matches(pattern, name))) {
      throw new CompareError(`no table on either side matches "${pattern}"`);
    }
  }
  return names
    .filter(
      (name) =>
        settings.include.length === 0 || settings.include.some((pattern) => matches(pattern, name)),
    )
    .filter((name) => !settings.exclude.some((pattern) => matches(pattern, name)))
    .sort();
}

/** A database equals itself, whatever was migrated. The start time of a server, to the microsecond, identifies it. */
async function expectTwoDatabases(
  source: Psql,
  target: Psql,
  names: Pick<CompareSettings, 'source' | 'target'>,
): Promise<void> {
  const identity = `select pg_catalog.pg_postmaster_start_time(), pg_catalog.current_database()`;
  const [here, there] = await Promise.all([source.rows('', identity), target.rows('', identity)]);
  if (JSON.stringify(here) === JSON.stringify(there)) {
    throw new CompareError(
      `"${names.source}" and "${names.target}" are the same database; correct the names or the service file`,
    );
  }
}

/** The servers' own hash is fast, but not guaranteed to be the same across versions or machines: both are queried. */
async function commonHashing(source: Psql, target: Psql): Promise<Hashing> {
  const probe = `select hashtextextended('walferry' collate "C", 11)`;
  const [here, there] = await Promise.all([source.rows('', probe), target.rows('', probe)]);
  return here[0]?.[0] === there[0]?.[0] ? 'fast' : 'md5';
}

function missing(table: string, side: 'source' | 'target'): TableResult {
  return {
    table,
    equal: false,
    sourceRows: 0,
    targetRows: 0,
    problem: `the table is not on the ${side}`,
    differences: [],
    differing: 0,
    complete: true,
  };
}

async function compareSequences(source: Psql, target: Psql): Promise<SequenceResult[]> {
  const [here, there] = await Promise.all([readSequences(source), readSequences(target)]);
  return [...new Set([...here.keys(), ...there.keys()])].sort().map((sequence) => ({
    sequence,
    source: here.get(sequence) ?? ABSENT,
    target: there.get(sequence) ?? ABSENT,
  }));
}
