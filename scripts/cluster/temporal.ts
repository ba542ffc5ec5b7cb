/**
 * One Temporal development server of ours, with its Web UI and a database file: started, stopped, found again. As with
 * PostgreSQL it counts as up only when the process that we started is alive and answers.
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LOOPBACK, freePort } from './port.ts';
import {
  endProcess,
  isAlive,
  processOf,
  readRecord,
  recordedProcess,
  signalProcess,
  writeRecord,
} from './process.ts';
import type { StartedProcess } from './process.ts';
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

const START_SECONDS = 60;
const PATIENCE_SECONDS = 15;
const PORT_ATTEMPTS = 5;
const POLL_MILLISECONDS = 50;
const ANSWER_MILLISECONDS = 10_000;

/** A profile in the user's temporal.toml belongs to another server. */
const THIS_SERVER_ONLY = ['--disable-config-file'];

export class TemporalServer {
  readonly spec: TemporalSpec;

  constructor(spec: TemporalSpec) {
    this.spec = spec;
  }

  get logFile(): string {
    return path.join(this.spec.folder, 'server.log');
  }

  /** The ports that the server has, or had when it ran last. */
  get ports(): TemporalPorts | undefined {
    const { port, uiPort } = readRecord(this.#recordFile) ?? {};
    return typeof port === 'number' && typeof uiPort === 'number' ? { port, uiPort } : undefined;
  }

  /** `host:port` of the frontend, as TEMPORAL_ADDRESS wants it. */
  get address(): string {
    return `${LOOPBACK}:${this.ports?.port ?? 0}`;
  }

  get uiAddress(): string {
    return `http://${LOOPBACK}:${this.ports?.uiPort ?? 0}`;
  }

  /** The server's process when it is alive; says nothing about whether it answers. */
  get process(): StartedProcess | undefined {
    const recorded = recordedProcess(readRecord(this.#recordFile));
    return recorded && isAlive(recorded) ? recorded : undefined;
  }

  get #recordFile(): string {
    return path.join(this.spec.folder, 'server.json');
  }

  /**
   * Starts the server unless it is up, and waits until it answers.
   * @returns the ports; the preferred ones or the last ones if they are free, else others.
   * @throws Error with the end of the server's log.
   */
  async start(preferred?: TemporalPorts): Promise<TemporalPorts> {
    const last = this.ports;
    if (last && (await this.#comesUp())) return last;
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
      // Between our look and the server's, somebody else may take a port.
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

  /** SIGKILL: the crash that the tests want. */
  async kill(): Promise<void> {
    const running = this.process;
    if (running) await endProcess(running, [['SIGKILL', 5_000]]);
  }

  /** Sends a signal to the server (SIGSTOP, SIGCONT). */
  signal(signal: NodeJS.Signals): void {
    const running = this.process;
    if (running) signalProcess(running, signal);
  }

  /** True when our process is alive and its frontend answers. */
  async isUp(): Promise<boolean> {
    if (!this.process) return false;
    const outcome = await this.#command(['operator', 'cluster', 'health']);
    return outcome && this.process !== undefined;
  }

  /** Gives a living server time: a busy one must not be taken for a dead one. */
  async #comesUp(): Promise<boolean> {
    const deadline = Date.now() + PATIENCE_SECONDS * 1000;
    while (this.process) {
      if (await this.isUp()) return true;
      if (Date.now() > deadline) return false;
      await sleep(POLL_MILLISECONDS);
    }
    return false;
  }

  /** Starts the process on these ports; returns undefined when it answers, else the end of its log. */
  async #launch(ports: TemporalPorts): Promise<string | undefined> {
    const log = openSync(this.logFile, 'w', 0o644);
    const child = spawn(
      this.spec.program,
      [
        ...['server', 'start-dev', '--ip', LOOPBACK, '--namespace', NAMESPACE],
        ...['--port', String(ports.port), '--ui-port', String(ports.uiPort)],
        ...['--db-filename', path.join(this.spec.folder, 'temporal.db'), '--log-level', 'warn'],
      ],
      {
        env: temporalEnvironment(),
        // A group of its own: Ctrl-C in the terminal is meant for the command, not for the servers.
        detached: true,
        stdio: ['ignore', log, log],
      },
    );
    closeSync(log);
    const failed = new Promise<never>((_, reject) => child.once('error', reject));
    failed.catch(() => undefined);
    child.unref();
    const started = child.pid === undefined ? undefined : processOf(child.pid);
    if (!started) {
      await Promise.race([failed, sleep(500)]);
      return this.#logEnd();
    }
    writeRecord(this.#recordFile, { ...started, ...ports });
    const deadline = Date.now() + START_SECONDS * 1000;
    while (isAlive(started)) {
      // The server prints its addresses when it has all of its ports; somebody else's server on one of them does not.
      if (this.#logText().includes(`:${ports.port}`) && (await this.isUp())) return undefined;
      if (Date.now() > deadline) {
        await this.kill();
        return `no answer within ${START_SECONDS} s\n${this.#logEnd()}`;
      }
      await sleep(POLL_MILLISECONDS);
    }
    return this.#logEnd();
  }

  /** A development server forgets closed workflows after a day; a migration's record is wanted longer. */
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
        {
          env: temporalEnvironment(),
          stdio: 'ignore',
          timeout: ANSWER_MILLISECONDS,
        },
      );
      child.once('error', () => resolve(false));
      child.once('exit', (code) => resolve(code === 0));
    });
  }

  #logText(): string {
    try {
      return readFileSync(this.logFile, 'utf8');
    } catch {
      return '';
    }
  }

  #logEnd(): string {
    return this.#logText().split('\n').slice(-15).join('\n').trim() || '(empty log)';
  }
}

/** The user's own TEMPORAL_… variables (an address, TLS, a profile) belong to another server. */
function temporalEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'));
  return Object.fromEntries(kept);
}
