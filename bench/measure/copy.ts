/** How fast a database is copied: walferry, `psql | psql`, pgcopydb and native initial sync, each into an empty database. */
import { findPgcopydb, pgcopydbClone } from '../contender/pgcopydb.ts';
import type { Clone, Pgcopydb } from '../contender/pgcopydb.ts';
import { pipe } from '../contender/pipe.ts';
import { SUBSCRIPTION_SETTINGS, Subscription } from '../contender/subscription.ts';
import { medianOf, medianRatio } from '../report/result.ts';
import type { Report, Row } from '../report/result.ts';
import { expectEqual } from '../rig/equality.ts';
import { BenchMigration } from '../rig/migration.ts';
import type { Rig } from '../rig/rig.ts';
import { SERVER_SETTINGS, STREAMS } from '../rig/settings.ts';
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

/** Native needs the tables with their keys; the other indexes exist, too, as `pg_dump -s` creates them. */
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

async function pgcopydb(
  rig: Rig,
  original: Original,
  how: Pick<Clone, 'settings' | 'binary' | 'follow'>,
): Promise<number> {
  await rig.database(rig.target, TARGET);
  const seconds = await pgcopydbClone(rig, { source: SOURCE, target: TARGET, ...how });
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
  const rival = findPgcopydb();
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
        ...pgcopydbTurns(rig, original, rival, one),
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
      'Seconds, into an empty database; checkpoints on both servers before each turn; counts and hashes equal after each.',
      '"rows": walferry’s phase snapshot against psql | psql into a table without indexes. "whole": from the start of the workflow until the stream runs (preflight, schema, rows, indexes, statistics), against native (schema with indexes, then initial sync) and pgcopydb clone.',
      `walferry: default input but copy.parallelism = ${STREAMS}, and copy.format as the column says.`,
      `pipe: ${STREAMS} pipes of psql | psql in parallel, each a range of pages of the table.`,
      `native: logical replication with ${SUBSCRIPTION_SETTINGS}; up to ${SERVER_SETTINGS['max_sync_workers_per_subscription'] ?? ''} tables at once (max_sync_workers_per_subscription); before version 16 its initial sync is text in any case.`,
      ...pgcopydbNotes(rival),
      '"of …" is above 1 where walferry is faster.',
    ],
    rows,
    chart: {
      unit: 'seconds, less is better',
      columns: ['whole text', 'whole binary', 'native', ...PGCOPYDB],
    },
  };
}

/** Columns of pgcopydb; empty for unsupported features of the one on the PATH. */
const PGCOPYDB = ['pgcopydb', 'pgcopydb binary', 'pgcopydb follow'] as const;

function pgcopydbTurns(
  rig: Rig,
  original: Original,
  rival: Pgcopydb | undefined,
  one: Record<string, number | undefined>,
): (() => Promise<void>)[] {
  if (!rival) return [];
  const { settings, binary, follow } = rival;
  const turn = (name: (typeof PGCOPYDB)[number], how: Parameters<typeof pgcopydb>[2]) => async () =>
    void (one[name] = await pgcopydb(rig, original, how));
  return [
    turn('pgcopydb', { settings }),
    ...(binary === undefined ? [] : [turn('pgcopydb binary', { settings, binary })]),
    ...(follow ? [turn('pgcopydb follow', { settings, binary, follow })] : []),
  ];
}

function pgcopydbNotes(rival: Pgcopydb | undefined): string[] {
  if (!rival) return ['pgcopydb was not on the PATH.'];
  const { version, settings, binary, follow } = rival;
  return [
    `pgcopydb ${version}: clone ${settings}${binary === undefined ? '' : `; "binary" with ${binary}`}.`,
    follow
      ? '"pgcopydb follow": clone --follow, until it has applied what the source had written before it began: like walferry it has a slot then, and follows.'
      : 'clone --follow is measured from version 0.17 on.',
    '"whole of pgcopydb" is against the faster one of its two formats, without --follow.',
  ];
}

function cells(seen: readonly Record<string, number | undefined>[]): Row['cells'] {
  const all = (name: string) => seen.map((one) => one[name]);
  const faster = seen.map((one) => {
    const known = [one['pgcopydb'], one['pgcopydb binary']].filter((time) => time !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  });
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
        ...PGCOPYDB,
      ].map((name) => [name, medianOf(all(name))] as const),
      ['text of pipe', medianRatio(all('pipe'), all('rows text'))] as const,
      ['binary of pipe', medianRatio(all('pipe'), all('rows binary'))] as const,
      ['whole of native', medianRatio(all('native'), all(`whole ${best}`))] as const,
      ['whole of pgcopydb', medianRatio(faster, all(`whole ${best}`))] as const,
      [
        'whole of pgcopydb follow',
        medianRatio(all('pgcopydb follow'), all(`whole ${best}`)),
      ] as const,
    ].filter(([, value]) => value !== undefined),
  );
}
