/**
 * One local Temporal development server, with its Web UI and a database file: started, stopped, found again. As with
 * PostgreSQL it counts as up only when the process that we started is alive and answers.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { LOOPBACK, freePort } from './port.ts';
import { endProcess } from './process.ts';
import { Server } from './server.ts';
import { NAMESPACE, RETENTION } from './settings.ts';

/** What is needed to start and find a server; plain data, so that tests can pass it between processes. */
export interface TemporalSpec {
  /** Folder of this server alone. */
  readonly folder: string;
  /** The Temporal CLI. */
  readonly program: string;
}

/** The frontend's and the Web UI's port. */
export interface TemporalPorts {
  readonly port: number;
  readonly uiPort: number;
}

const PORT_ATTEMPTS = 5;
const ANSWER_MILLISECONDS = 10_000;

/** A profile in the user's temporal.toml belongs to another server. */
const THIS_SERVER_ONLY = ['--disable-config-file'];

export class TemporalServer extends Server {
  readonly spec: TemporalSpec;

  constructor(spec: TemporalSpec) {
    super(spec.folder);
    this.spec = spec;
  }

  /** The ports of the server, or of its last run. */
  get ports(): TemporalPorts | undefined {
    const { port, uiPort } = this.record ?? {};
    return typeof port === 'number' && typeof uiPort === 'number' ? { port, uiPort } : undefined;
  }

  /** `host:port` of the frontend, for TEMPORAL_ADDRESS. */
  get address(): string {
    return `${LOOPBACK}:${this.ports?.port ?? 0}`;
  }

  get uiAddress(): string {
    return `http://${LOOPBACK}:${this.ports?.uiPort ?? 0}`;
  }

  /**
   * Starts the server unless it is up, and waits until it answers.
   * @returns the ports; the preferred ones or the last ones if they are free, otherwise other ones.
   * @throws Error with the end of the server's log.
   */
  async start(preferred?: TemporalPorts): Promise<TemporalPorts> {
    const last = this.ports;
    if (last && (await this.comesUp())) return last;
    await this.stop();
    mkdirSync(this.spec.folder, { recursive: true });
    let wanted = preferred ?? last;
    for (let attempt = 1; ; attempt++) {
      const port = await freePort(wanted?.port);
      const uiPort = await freePort(wanted?.uiPort, new Set([port]));
      const failure = await this.#launch({ port, uiPort });
      if (failure === undefined) {
        this.#keepClosedWorkflows();
        return { port, uiPort };
      }
      // Between our check and the server's start, another process may take a port.
      if (!failure.includes('address already in use') || attempt === PORT_ATTEMPTS) {
        throw new Error(`the Temporal server did not start; its log ends:\n${failure}`);
      }
      wanted = undefined;
    }
  }

  /** Stops the server if it runs; the database file keeps everything that was acknowledged. */
  async stop(): Promise<void> {
    const running = this.process;
    if (running) {
      await endProcess(running, [
        ['SIGTERM', 10_000],
        ['SIGKILL', 5_000],
      ]);
    }
  }

  /** True when our process is alive and its frontend answers. */
  async isUp(): Promise<boolean> {
    if (!this.process) return false;
    const outcome = await this.#command(['operator', 'cluster', 'health']);
    return outcome && this.process !== undefined;
  }

  /** Starts the process on these ports; returns undefined when it answers, otherwise the end of its log. */
  #launch({ port, uiPort }: TemporalPorts): Promise<string | undefined> {
    return this.launch({
      program: this.spec.program,
      args: [
        ...['server', 'start-dev', '--ip', LOOPBACK, '--namespace', NAMESPACE],
        ...['--port', String(port), '--ui-port', String(uiPort)],
        ...['--db-filename', path.join(this.spec.folder, 'temporal.db'), '--log-level', 'warn'],
      ],
      options: { env: temporalEnvironment() },
      ports: { port, uiPort },
      // The server prints its addresses when it has all of its ports; another server on one of them does not.
      answers: async () => this.logText().includes(`:${port}`) && this.isUp(),
      giveUp: () => this.kill(),
    });
  }

  /** A development server deletes closed workflows after a day; the record of a migration is needed longer. */
  #keepClosedWorkflows(): void {
    spawnSync(
      this.spec.program,
      [
        ...['operator', 'namespace', 'update', '--namespace', NAMESPACE],
        ...['--retention', RETENTION, ...THIS_SERVER_ONLY, '--address', this.address],
      ],
      { env: temporalEnvironment(), stdio: 'ignore', timeout: ANSWER_MILLISECONDS },
    );
  }

  /** Runs a CLI command against this server; true when it succeeds. */
  #command(words: readonly string[]): Promise<boolean> {
    return new Promise((resolve) => {
      const child = spawn(
        this.spec.program,
        [...words, ...THIS_SERVER_ONLY, '--address', this.address],
        { env: temporalEnvironment(), stdio: 'ignore', timeout: ANSWER_MILLISECONDS },
      );
      child.once('error', () => resolve(false));
      child.once('exit', (code) => resolve(code === 0));
    });
  }
}

/** The user's own TEMPORAL_… variables (an address, TLS, a profile) belong to another server. */
function temporalEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'));
  return Object.fromEntries(kept);
}
