/**
 * A migration of very many tables and sequences, step by step: the duration of each step and its longest gap between
 * heartbeats.
 *
 *   node --import tsx bench/many-tables.ts --help
 *
 * Without options it starts two servers with default settings, fills the source, runs every step, prints the rows of
 * the table in docs/explanation/performance.md and removes the servers. It exits with 1 when a step fails or sends no heartbeat
 * for longer than 3 s.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import * as v from 'valibot';
import { parseInput } from '../contract/input.ts';
import { connect } from '../postgres/connection/connect.ts';
import { environmentFiles, writeEnvironment } from '../scripts/local/cluster/environment.ts';
import { PostgresServer } from '../scripts/local/cluster/postgres-server.ts';
import { DATABASE, ROLE, SIDES, type Side } from '../scripts/local/cluster/settings.ts';
import { findPostgres } from '../scripts/local/setup/postgres-programs.ts';
import { Journey } from '../tests/support/journey.ts';

/** A third of the heartbeat timeout. */
const LONGEST_SILENCE_SECONDS = 3;
const NOTABLE_SECONDS = 2;
const MOST_CHANGED = 20_000;
/** Seconds of work for the creation of tables in one transaction. */
const TABLES_PER_COMMIT = 500;

interface Options {
  readonly tables: number;
  readonly columns: number;
  readonly triggers: number;
  readonly durable: boolean;
  readonly folder?: string;
}

const program = new Command('bench/many-tables.ts')
  .description('Migrates very many tables and sequences between two servers with default settings.')
  .option('--tables <n>', 'tables, each with a sequence', Number, 100_000)
  .option('--columns <n>', 'text columns of each table', Number, 6)
  .option(
    '--triggers <n>',
    'tables with a trigger and a check that wait for the cutover',
    Number,
    0,
  )
  .option('--durable', 'servers with fsync; without, the disk does not count', false)
  .option(
    '--folder <path>',
    'keep servers and progress there, and continue where the last run stopped',
  )
  .action(run);

/** What a continued run needs to know. */
const stateSchema = v.object({ id: v.string(), password: v.string(), stages: v.array(v.string()) });
type State = v.InferOutput<typeof stateSchema>;

class Progress {
  readonly #file: string;
  readonly state: State;

  constructor(folder: string) {
    this.#file = path.join(folder, 'progress.json');
    const random = () => Math.random().toString(16).slice(2);
    this.state = existsSync(this.#file)
      ? v.parse(stateSchema, JSON.parse(readFileSync(this.#file, 'utf8')))
      : { id: random(), password: random(), stages: [] };
    this.#write();
  }

  async stage(name: string, run: () => Promise<unknown>): Promise<void> {
    if (this.state.stages.includes(name)) return;
    await run();
    this.state.stages.push(name);
    this.#write();
  }

  #write(): void {
    writeFileSync(this.#file, JSON.stringify(this.state), { mode: 0o600 });
  }
}

async function startServers(
  folder: string,
  { password }: State,
  durable: boolean,
): Promise<Record<Side, PostgresServer>> {
  const postgres = findPostgres();
  if (!postgres) throw new Error('no PostgreSQL with wal2json: npm run setup');
  const server = (side: Side): PostgresServer =>
    new PostgresServer({
      name: side,
      folder: path.join(folder, side),
      programs: postgres.folder,
      role: ROLE,
      password,
      // Everything else at the server's defaults: 64 locks per transaction, 100 connections.
      settings: side === 'source' ? { wal_level: 'logical' } : {},
      durable,
    });
  const servers = { source: server('source'), target: server('target') };
  const ports = { source: 0, target: 0, temporal: 0 };
  for (const side of SIDES) {
    ports[side] = await servers[side].start();
    await servers[side].ensureDatabase(DATABASE);
  }
  const passwords = { source: password, target: password };
  writeEnvironment(folder, { programs: [postgres.folder], ports, passwords });
  const { services, passes } = environmentFiles(folder);
  process.env['PGSERVICEFILE'] = services;
  process.env['PGPASSFILE'] = passes;
  return servers;
}

/** In many transactions: one could not lock all of the tables. */
async function makeTables({ tables, columns, triggers }: Options): Promise<void> {
  const list = Array.from({ length: columns }, (_, i) => `c${i} text`).join(', ');
  await using client = await connect('source', 'cleanup');
  await client.query(/* sql */ `set synchronous_commit = off; set search_path = public`);
  await client.query(/* sql */ `
    create or replace function unchanged() returns trigger language plpgsql as 'begin return new; end'`);
  await client.query(/* sql */ `
    do $$
    begin
      for i in 1..${tables} loop
        continue when to_regclass(format('t_%s', i)) is not null;
        execute format('create table t_%s (id bigserial primary key, ${list})', i);
        execute format('insert into t_%s (c0) select ''x'' from generate_series(1, 3)', i);
        if i <= ${triggers} then
          execute format('create trigger always_%1$s before insert on t_%1$s for each row execute function unchanged()', i);
          execute format('alter table t_%1$s enable always trigger always_%1$s', i);
          execute format('alter table t_%1$s add constraint late_%1$s check (c0 <> current_user)', i);
        end if;
        if i % ${TABLES_PER_COMMIT} = 0 then commit; end if;
      end loop;
    end $$`);
}

/** One change in each of many tables, each in its own transaction. */
async function change(tables: number): Promise<void> {
  await using client = await connect('source', 'cleanup');
  await client.query(/* sql */ `set synchronous_commit = off; set search_path = public`);
  await client.query(/* sql */ `
    do $$ begin for i in 1..${tables} loop
      execute format('update t_%s set c0 = ''y'' where id = 1', i); commit;
    end loop; end $$`);
}

function row(...cells: readonly string[]): void {
  console.log(`| ${cells.join(' | ')} |`);
}

async function migrate(options: Options, progress: Progress): Promise<Journey> {
  const parsed = parseInput({ source: 'source', target: 'target' });
  if (!parsed.ok) throw new Error(parsed.message);
  const journey = new Journey(
    parsed.input,
    ({ step, seconds, silence, before, payload, outcome }) => {
      row(step, seconds.toFixed(1), silence.toFixed(1), String(payload), outcome);
      if (silence > NOTABLE_SECONDS) console.error(`${step}: silent after ${before}`);
    },
    progress.state.id,
  );
  await progress.stage('tables', () => makeTables(options));
  row('step', 'seconds', 'longest silence', 'bytes of result or beat', 'outcome');
  row('---', '---', '---', '---', '---');
  for (const { name, run } of journey.preparation()) await progress.stage(name, run);
  const changed = Math.min(options.tables, MOST_CHANGED);
  await progress.stage('changes', () => change(changed));
  await progress.stage('stream', () => journey.drain(`streamChanges, ${changed} tables changed`));
  await progress.stage('cutover', () => journey.cutOver());
  await progress.stage('end', () => journey.end());
  return journey;
}

async function run(options: Options): Promise<void> {
  const folder = options.folder ?? mkdtempSync(path.join(tmpdir(), 'walferry-bench-'));
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o711);
  const progress = new Progress(folder);
  const servers = await startServers(folder, progress.state, options.durable);
  try {
    const { measured } = await migrate(options, progress);
    const silent = measured.filter(({ silence }) => silence > LONGEST_SILENCE_SECONDS);
    for (const { step, silence, before } of silent) {
      console.error(`${step} sent no heartbeat for ${silence.toFixed(1)} s after ${before}`);
    }
    if (silent.length > 0) process.exitCode = 1;
  } finally {
    console.log(`peak memory ${Math.round(process.resourceUsage().maxRSS / 1024)} MB`);
    if (options.folder === undefined) {
      await Promise.all(SIDES.map((side) => servers[side].stop('immediate')));
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

await program.parseAsync();
