/**
 * The local servers: a source and a target PostgreSQL and a Temporal development server, with ports and
 * passwords that are chosen once and remembered. Every operation can be repeated at any time, also right after a crash.
 */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { shellWord } from '../../../contract/shell-command.ts';
import { findPostgres } from '../setup/postgres-programs.ts';
import type { PostgresPrograms } from '../setup/postgres-programs.ts';
import { findTemporal } from '../setup/temporal-program.ts';
import type { TemporalProgram } from '../setup/temporal-program.ts';
import { OperatorError } from '../../operator-error.ts';
import { LOCAL } from '../package.ts';
import { backgroundProcesses, endBackground } from './background.ts';
import { environmentFiles, environmentVariables, writeEnvironment } from './environment.ts';
import { locked } from './lock.ts';
import { placesOf } from './places.ts';
import type { Places } from './places.ts';
import { freePort } from './port.ts';
import { PostgresServer } from './postgres-server.ts';
import { readRecord, writeRecord } from './process.ts';
import { DATABASE, ROLE, SETTINGS, SIDES } from './settings.ts';
import type { Side } from './settings.ts';
import { TemporalServer } from './temporal-server.ts';

const PORTS = ['source', 'target', 'temporal', 'temporalUi'] as const;
type Ports = Readonly<Record<(typeof PORTS)[number], number>>;

/** One line of `cluster status`. */
export interface ServerStatus {
  readonly name: string;
  readonly state: 'up' | 'down' | 'not answering';
  readonly address: string;
  readonly pid: number | undefined;
  readonly logFile: string;
}

export interface LocalPrograms {
  readonly postgres: PostgresPrograms;
  readonly temporal: TemporalProgram;
}

/**
 * The local servers; chooses ports and passwords at the first call, starts nothing.
 * @throws Error when set-up has not found the programs.
 */
export async function localCluster(
  programs: LocalPrograms | undefined = presentPrograms(),
  local: string = LOCAL,
): Promise<LocalCluster> {
  if (!programs) {
    throw new OperatorError(
      'PostgreSQL with wal2json or the Temporal CLI is missing: walferry setup',
    );
  }
  const places = placesOf(local);
  // Two simultaneous first calls must not choose two passwords.
  return locked(lockOf(places), async () => {
    const record = readRecord(path.join(places.data, 'cluster.json')) ?? {};
    const ports = await rememberedPorts(record);
    const passwords = { source: password(record, 'source'), target: password(record, 'target') };
    const cluster = new LocalCluster(places, programs, ports, passwords);
    cluster.remember();
    return cluster;
  });
}

export class LocalCluster {
  readonly places: Places;
  readonly source: PostgresServer;
  readonly target: PostgresServer;
  readonly temporal: TemporalServer;
  readonly #programs: LocalPrograms;
  readonly #passwords: Readonly<Record<Side, string>>;
  #ports: Ports;

  constructor(
    places: Places,
    programs: LocalPrograms,
    ports: Ports,
    passwords: Readonly<Record<Side, string>>,
  ) {
    this.places = places;
    this.#programs = programs;
    this.#ports = ports;
    this.#passwords = passwords;
    const server = (side: Side): PostgresServer =>
      new PostgresServer({
        name: side,
        folder: path.join(places.data, side),
        programs: programs.postgres.folder,
        role: ROLE,
        password: passwords[side],
        settings: SETTINGS[side],
        durable: true,
      });
    this.source = server('source');
    this.target = server('target');
    this.temporal = new TemporalServer({
      folder: path.join(places.data, 'temporal'),
      program: programs.temporal.program,
    });
  }

  /** The file to source, as a word for a shell. */
  get environmentFile(): string {
    const { env } = environmentFiles(this.places.local);
    const relative = path.relative(process.cwd(), env);
    return shellWord(relative.startsWith('..') ? env : relative);
  }

  /** Address of the Web UI. */
  get uiAddress(): string {
    return this.temporal.uiAddress;
  }

  /** The environment of this process with the variables of `.local/env`; for child processes. */
  get environment(): Record<string, string> {
    const { PATH, ...rest } = environmentVariables(this.places.local, this.#facts);
    return { ...rest, PATH: [PATH, process.env['PATH'] ?? ''].join(path.delimiter) };
  }

  get #facts() {
    const { postgres, temporal } = this.#programs;
    const programs = [postgres.folder, path.dirname(temporal.program)];
    return { programs, ports: this.#ports, passwords: this.#passwords };
  }

  /** Writes `.local/env`, the service file and the password file. */
  writeFiles(): void {
    writeEnvironment(this.places.local, this.#facts);
  }

  /** Keeps ports and passwords for the next time. */
  remember(): void {
    writeRecord(path.join(this.places.data, 'cluster.json'), {
      ports: this.#ports,
      passwords: this.#passwords,
    });
  }

  /** Starts the servers that are not up, creates the databases and writes the files; waits for another command that does so. */
  async up(): Promise<void> {
    await locked(lockOf(this.places), () => this.#up());
  }

  async #up(): Promise<void> {
    const wanted = { port: this.#ports.temporal, uiPort: this.#ports.temporalUi };
    const outcomes = await Promise.allSettled([
      this.source.start(this.#ports.source),
      this.target.start(this.#ports.target),
      this.temporal.start(wanted),
    ]);
    // Waits for all of them before a failure is thrown: nothing may keep starting in the background.
    const [source, target, temporal] = outcomes;
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    if (
      source.status === 'fulfilled' &&
      target.status === 'fulfilled' &&
      temporal.status === 'fulfilled'
    ) {
      this.#ports = {
        source: source.value,
        target: target.value,
        temporal: temporal.value.port,
        temporalUi: temporal.value.uiPort,
      };
    }
    await Promise.all(SIDES.map((side) => this[side].ensureDatabase(DATABASE)));
    this.remember();
    this.writeFiles();
  }

  /** Ends the worker and writer of an earlier start, then the servers. */
  async down(): Promise<void> {
    await locked(lockOf(this.places), () => this.#down());
  }

  async #down(): Promise<void> {
    await endBackground(this.places.data);
    await this.temporal.stop();
    await Promise.all([this.source.stop(), this.target.stop()]);
  }

  /** Stops everything and removes databases, logs and workflows; ports and passwords stay. */
  async wipe(): Promise<void> {
    await locked(lockOf(this.places), async () => {
      await this.#down();
      for (const name of ['source', 'target', 'temporal', 'logs']) {
        rmSync(path.join(this.places.data, name), { recursive: true, force: true });
      }
    });
  }

  async status(): Promise<ServerStatus[]> {
    const servers = [
      { name: 'source', server: this.source, address: `127.0.0.1:${this.#ports.source}` },
      { name: 'target', server: this.target, address: `127.0.0.1:${this.#ports.target}` },
      { name: 'temporal', server: this.temporal, address: `127.0.0.1:${this.#ports.temporal}` },
    ];
    const lines = await Promise.all(
      servers.map(async ({ name, server, address }): Promise<ServerStatus> => {
        const { process: running, logFile } = server;
        const state = !running ? 'down' : (await server.isUp()) ? 'up' : 'not answering';
        return { name, state, address, pid: running?.pid, logFile };
      }),
    );
    const others = backgroundProcesses(this.places.data).map(
      ({ name, pid, logFile }): ServerStatus => ({ name, state: 'up', address: '', pid, logFile }),
    );
    return [...lines, ...others];
  }
}

function lockOf({ data }: Places): string {
  return path.join(data, 'lock');
}

function presentPrograms(): LocalPrograms | undefined {
  const postgres = findPostgres();
  const temporal = findTemporal();
  return postgres && temporal ? { postgres, temporal } : undefined;
}

async function rememberedPorts(record: Record<string, unknown>): Promise<Ports> {
  const known = isRecord(record['ports']) ? record['ports'] : {};
  const chosen: Record<string, number> = {};
  for (const name of PORTS) {
    const port = known[name];
    // Not checked for being free: when our server is up, it is not.
    chosen[name] =
      typeof port === 'number' ? port : await freePort(undefined, new Set(Object.values(chosen)));
  }
  const { source = 0, target = 0, temporal = 0, temporalUi = 0 } = chosen;
  return { source, target, temporal, temporalUi };
}

function password(record: Record<string, unknown>, side: Side): string {
  const known = isRecord(record['passwords']) ? record['passwords'][side] : undefined;
  return typeof known === 'string' ? known : randomBytes(15).toString('hex');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
