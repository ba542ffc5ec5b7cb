/** How fast a database is copied: walferry, `psql | psql`, pgcopydb and native initial sync, each into an empty database. */
import { pgcopydbClone, pgcopydbVersion } from '../contender/pgcopydb.ts';
import { pipe } from '../contender/pipe.ts';
import { Subscription } from '../contender/subscription.ts';
import { medianOf, medianRatio } from '../report/result.ts';
import type { Report, Row } from '../report/result.ts';
import { expectEqual } from '../rig/equality.ts';
import { BenchMigration } from '../rig/migration.ts';
import type { Rig } from '../rig/rig.ts';
import { STREAMS } from '../rig/settings.ts';
import { parseInput } from '../../contract/input.ts';
import { originals } from '../workload/original.ts';
import type { Original } from '../workload/original.ts';
import type { DrainOptions } from './drain.ts';

const SOURCE = 'app';
const TARGET = 'app_copy';

interface Copied {
  /** Seconds of walferry's phase `snapshot`, and from the start of the workflow until phase `stream`. */
  readonly rows: number;
  readonly whole: number;
}

/** Formats that this version knows, in the order in which they are measured. */
const FORMATS = ['text', 'binary'].filter(
  (format) => parseInput({ source: 'a', target: 'b', copy: { format } }).ok,
);

async function walferry(rig: Rig, original: Original, format: string | undefined): Promise<Copied> {
  await rig.database(rig.target, TARGET);
  const copy = { parallelism: STREAMS, ...(format === undefined ? {} : { format }) };
  const migration = await BenchMigration.start(rig.client, {
    ...{ source: SOURCE, target: TARGET, input: { copy } },
  });
  const { startedAt } = await migration.phase('stream');
  const at = (phase: 'preflight' | 'snapshot' | 'indexes' | 'stream'): number =>
    Date.parse(startedAt[phase] ?? '');
  await equal(rig, original);
  await migration.abort();
  return {
    rows: (at('indexes') - at('snapshot')) / 1000,
    whole: (at('stream') - at('preflight')) / 1000,
  };
}

async function schemaOnly(rig: Rig, sections: string): Promise<void> {
  await rig.source.shell(
    `pg_dump ${sections} ${SOURCE} | psql -Xq -v ON_ERROR_STOP=1 "${rig.target.conninfo(TARGET)}"`,
    rig.source.environment(SOURCE),
  );
}

/** Native needs the tables with their keys; their indexes are there, too, as `pg_dump -s` makes them. */
async function native(rig: Rig, original: Original): Promise<number> {
  await rig.database(rig.target, TARGET);
  const began = performance.now();
  await schemaOnly(rig, '-s');
  const subscription = await Subscription.create(rig, {
    ...{ source: SOURCE, target: TARGET, name: 'bench_copy', copy: true },
  });
  const seconds = (performance.now() - began) / 1000;
  await equal(rig, original);
  await rig.target.rows(TARGET, `drop subscription ${subscription.name}`);
  await rig.source.rows(SOURCE, `drop publication ${subscription.name}`);
  return seconds;
}

async function pipes(rig: Rig, original: Original, binary: boolean): Promise<number | undefined> {
  const [table] = original.tables;
  if (table === undefined || original.tables.length > 1) return undefined;
  await rig.database(rig.target, TARGET);
  await schemaOnly(rig, '--section=pre-data');
  const seconds = await pipe(rig, { ...{ source: SOURCE, target: TARGET, table, binary } });
  await equal(rig, original);
  return seconds;
}

async function pgcopydb(rig: Rig, original: Original): Promise<number> {
  await rig.database(rig.target, TARGET);
  const seconds = await pgcopydbClone(rig, SOURCE, TARGET);
  await equal(rig, original);
  return seconds;
}

async function equal(rig: Rig, { tables }: Original): Promise<void> {
  await expectEqual(
    { server: rig.source, database: SOURCE },
    { server: rig.target, database: TARGET },
    tables,
  );
}

export async function measureCopy(rig: Rig, options: DrainOptions): Promise<Report> {
  const { rounds, scale, only, say } = options;
  await rig.workers.start();
  const version = pgcopydbVersion();
  const rows: Row[] = [];
  for (const original of originals(scale)) {
    if (only.length > 0 && !only.includes(original.name)) continue;
    await rig.database(rig.source, SOURCE);
    await rig.source.rows(SOURCE, original.sql);
    await rig.source.rows(SOURCE, 'vacuum analyze');
    const seen: Record<string, number | undefined>[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const one: Record<string, number | undefined> = {};
      const turns: (() => Promise<void>)[] = [
        ...(FORMATS.length > 0 ? FORMATS : [undefined]).map((format) => async () => {
          const { rows: copied, whole } = await walferry(rig, original, format);
          one[`rows ${format ?? 'text'}`] = copied;
          one[`whole ${format ?? 'text'}`] = whole;
        }),
        async () => void (one['pipe'] = await pipes(rig, original, false)),
        async () => void (one['native'] = await native(rig, original)),
        async () =>
          void (one['pgcopydb'] =
            version === undefined ? undefined : await pgcopydb(rig, original)),
      ];
      for (let turn = 0; turn < turns.length; turn += 1) {
        await rig.source.checkpoint();
        await rig.target.checkpoint();
        await turns[(round + turn) % turns.length]?.();
      }
      seen.push(one);
      say(
        `${original.name}, round ${round + 1}: ${Object.entries(one)
          .map(([name, s]) => `${name} ${s?.toFixed(1) ?? '–'}`)
          .join(', ')} s`,
      );
    }
    rows.push({ name: original.name, cells: cells(seen) });
  }
  return {
    name: 'copy',
    title: 'A database is copied',
    notes: [
      `Seconds. All with ${STREAMS} streams into an empty database; checkpoints on both servers before each turn; counts and hashes equal after each.`,
      '"rows": walferry’s phase snapshot against psql | psql into a table without indexes. "whole": from the start of the workflow until the stream runs (preflight, schema, rows, indexes, statistics), against native (schema with indexes, then initial sync) and pgcopydb clone.',
      version === undefined
        ? 'pgcopydb was not on the PATH.'
        : `pgcopydb ${version}: clone, large tables split at 64 MB, without owners and grants.`,
      '"of …" is above 1 where walferry is faster.',
    ],
    rows,
    chart: {
      unit: 'seconds, less is better',
      columns: ['whole text', 'whole binary', 'native', 'pgcopydb'],
    },
  };
}

function cells(seen: readonly Record<string, number | undefined>[]): Row['cells'] {
  const all = (name: string) => seen.map((one) => one[name]);
  const best = (FORMATS.at(-1) ?? 'text') satisfies string;
  return Object.fromEntries(
    [
      ...[
        'rows text',
        'rows binary',
        'pipe',
        'whole text',
        'whole binary',
        'native',
        'pgcopydb',
      ].map((name) => [name, medianOf(all(name))] as const),
      ['text of pipe', medianRatio(all('pipe'), all('rows text'))] as const,
      ['binary of pipe', medianRatio(all('pipe'), all('rows binary'))] as const,
      ['whole of native', medianRatio(all('native'), all(`whole ${best}`))] as const,
      ['whole of pgcopydb', medianRatio(all('pgcopydb'), all(`whole ${best}`))] as const,
    ].filter(([, value]) => value !== undefined),
  );
}
