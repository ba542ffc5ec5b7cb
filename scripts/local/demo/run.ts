/** The demo from the first row to the result: one whole migration under load, with two kills. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { compare } from '../../compare/databases.ts';
import { checkLedger } from '../writer/check.ts';
import { prepare } from '../writer/application.ts';
import { Observer } from '../../watch/observer.ts';
import { isOpen } from '../../watch/sample.ts';
import { screenFor } from '../../watch/screen.ts';
import { connectTemporal } from '../../watch/temporal-client.ts';
import { Workers, startWriter, stopWriter } from './cast.ts';
import { commandLine, temporal } from './temporal-cli.ts';
import { renderClosing } from './closing.ts';
import { Evidence } from './evidence.ts';
import { Follower } from './follow.ts';
import { killInCopy, killInStream, provenInCopy } from './kills.ts';
import { closingFacts, slotsLeft } from './outcome.ts';
import type { Stage } from './stage.ts';
import { failings } from './comparison.ts';

export interface DemoSettings {
  readonly rows: number;
  readonly rate: number;
}

export interface DemoOutcome {
  /** Equal, nothing left behind, and both kills survived without repeated work; otherwise the output says why not. */
  readonly passed: boolean;
  readonly workflowId: string;
}

/** With fewer rows the default chunks are so few that no worker can be killed in the middle of the copy. */
const SMALL_ROWS = 1_500_000;
const PHASE_SECONDS = 120;

/**
 * @param say prints a line.
 * @throws Error when the migration does not complete.
 */
export async function runDemo(
  stage: Stage,
  settings: DemoSettings,
  stop: AbortSignal,
  say: (line: string) => void,
): Promise<DemoOutcome> {
  const { cluster, folder } = stage;
  const data = cluster.places.data;
  const ledger = path.join(folder, 'ledger.jsonl');
  const workers = new Workers(data);
  stop.throwIfAborted();
  // Two, because workers exist to share the work; they start while rows are created.
  const ready = Promise.all([workers.start(), workers.start()]);
  const seeded = prepare('source', settings.rows, say);
  const [[first, second]] = await unlessStopped(stop, Promise.all([ready, seeded]));
  say(`workers: ${first.name} (process ${first.pid}), ${second.name} (process ${second.pid})`);
  const writer = startWriter(data, { rate: settings.rate, ledger });
  say(
    `writer (process ${writer.pid}): ${settings.rate} changes/s on "source", ledger ${relative(ledger)}`,
  );

  const workflowId = await startMigration(stage, settings, say);
  const screen = screenFor(workflowId, process.stdout);
  const tell = (line: string) => screen.say(line);
  try {
    await using client = await connectTemporal();
    await using evidence = await Evidence.open('target');
    const observer = new Observer(client, workflowId);
    await using follower = new Follower(observer, screen, stop);
    const scene = { workers, follower, evidence, say: tell };

    const inCopy = await killInCopy(scene);
    await follower.until('the end of the copy', PHASE_SECONDS, ({ progress }) =>
      progress?.phase === 'indexes' || progress?.phase === 'stream' ? true : undefined,
    );
    const copy = inCopy ? await provenInCopy(scene, inCopy) : 'too late';
    if (copy === 'too late') {
      tell('>>> the copy ended before a worker could be killed during it: use more --rows');
    }
    await follower.until('phase stream', PHASE_SECONDS, ({ progress }) =>
      progress?.phase === 'stream' ? true : undefined,
    );
    const kills = { copy, stream: await killInStream(scene) };

    // A cutover before its end would be refused.
    await follower.until('the first verification', PHASE_SECONDS, ({ progress }) =>
      progress?.verification?.last ? true : undefined,
    );
    tell('>>> cutover: the application stops writing …');
    tell(`    ${await stopWriter(writer)}`);
    const update = ['workflow', 'update', 'execute', '-w', workflowId, '--name', 'cutover'];
    tell(`$ temporal ${commandLine(update)}`);
    const answer = temporal(update);
    answer.catch(() => undefined);
    await follower.until(
      'the end of the migration',
      PHASE_SECONDS,
      ({ status }) => (isOpen(status) ? undefined : true),
      'may end',
    );
    tell((await answer).replace(/^/gm, '    '));
    screen.end();
    const facts = await closingFacts(observer, follower.sample);
    say('comparing every row of source and target, independently of the copy …');
    const compared = await compare(
      {
        ...{ source: 'source', target: 'target', include: [], exclude: [] },
        ...{ sequences: true, md5: false, show: 10 },
      },
      (table) =>
        say(
          `    ${table.table}: ${table.equal ? 'equal' : 'DIFFERENT'}, ${table.sourceRows.toLocaleString('en')} rows`,
        ),
    );
    const comparison = await checkLedger('target', ledger);
    for (const { table, key, what } of comparison.examples)
      say(`    ledger: ${table} ${key}: ${what}`);
    const left = await slotsLeft();
    for (const slot of left) say(`    a slot was left on the source: ${slot}`);
    const rows = compared.tables.reduce((sum, table) => sum + table.sourceRows, 0);
    say(
      renderClosing({
        ...facts,
        kills: Object.entries(kills).flatMap(([where, proof]) =>
          proof === 'proven' ? [where] : [],
        ),
        compared: { equal: compared.equal, seconds: compared.seconds, rows },
        ledger: { holds: comparison.problems === 0, transactions: comparison.transactions },
      }),
    );
    const failed = failings({
      ...{ rows: settings.rows, kills, equal: compared.equal },
      ...{ ledgerProblems: comparison.problems, slotsLeft: left.length },
    });
    for (const failing of failed) say(`FAILED: ${failing}`);
    return { passed: failed.length === 0, workflowId };
  } finally {
    screen.end();
  }
}

/** Seeding takes long; Ctrl-C must not wait for its end. */
async function unlessStopped<T>(stop: AbortSignal, work: Promise<T>): Promise<T> {
  // When abandoned, it fails as soon as the servers stop; the failure is ignored.
  work.catch(() => undefined);
  const stopped = new Promise<never>((_, reject) => {
    stop.addEventListener('abort', () => reject(new Error('interrupted')), { once: true });
  });
  stopped.catch(() => undefined);
  return Promise.race([work, stopped]);
}

/** Starts the workflow like an operator, and prints how. */
async function startMigration(
  { cluster, folder }: Stage,
  { rows }: DemoSettings,
  say: (line: string) => void,
): Promise<string> {
  const input = path.join(folder, 'migration.json');
  const chunks = rows < SMALL_ROWS ? { copy: { chunkMegabytes: 1 } } : {};
  const text = JSON.stringify({ source: 'source', target: 'target', ...chunks });
  writeFileSync(input, `${text}\n`);
  // A new id for every run, so that no earlier one interferes.
  const workflowId = `demo-${new Date().toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-')}`;
  const words = [
    ...['workflow', 'start', '--type', 'migrateDatabase', '--task-queue', 'walferry'],
    ...['--workflow-id', workflowId, '--input-file', relative(input), '--fail-existing'],
    ...['--static-summary', 'demo: source to target, under load'],
  ];
  say(`${relative(input)}: ${text}`);
  say(`$ temporal ${commandLine(words)}`);
  await temporal(words);
  say(`Web UI: ${cluster.uiAddress}/namespaces/default/workflows/${workflowId}`);
  return workflowId;
}

function relative(file: string): string {
  return path.relative(process.cwd(), file);
}
