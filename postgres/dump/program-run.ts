/**
 * Runs PostgreSQL's client programs as child processes: collects output in memory, ends them on abort, passes no secrets as
 * arguments (they get a service name and read passwords from the same files as we do).
 */
import { spawn } from 'node:child_process';
import { MigrationError } from '../../contract/failure.ts';
import { programEnvironment } from '../connection/program.ts';

export interface ProgramRun {
  readonly program: string;
  readonly args: readonly string[];
  readonly signal: AbortSignal;
  /** Called with the number of bytes received so far, whenever output arrives. */
  readonly onOutput?: (bytes: number) => void;
}

/** Enough of standard error to classify a failure. */
const KEPT_STDERR_BYTES = 16_384;

/** A failure of a client program, with its standard error. Use the text to classify the failure, not in messages. */
export class ProgramFailed extends Error {
  override readonly name = 'ProgramFailed';
  readonly stderr: string;

  constructor(message: string, stderr: string) {
    super(message);
    this.stderr = stderr;
  }
}

/**
 * Runs a client program and returns its standard output.
 * @throws ProgramFailed on a non-zero exit; `signal.reason` when aborted; MigrationError `Internal` when it cannot start.
 */
export async function runProgram(run: ProgramRun): Promise<Buffer> {
  run.signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const child = spawn(run.program, run.args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      // English messages: failures are classified by their text.
      env: programEnvironment('schema'),
    });
    const chunks: Buffer[] = [];
    let received = 0;
    let stderr = '';
    const stop = () => child.kill('SIGTERM');
    run.signal.addEventListener('abort', stop, { once: true });
    child.stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      received += chunk.length;
      run.onOutput?.(received);
    });
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text: string) => {
      stderr = (stderr + text).slice(-KEPT_STDERR_BYTES);
    });
    child.once('error', () => {
      run.signal.removeEventListener('abort', stop);
      reject(new MigrationError('Internal', `${run.program} could not be started on the worker`));
    });
    child.once('close', (code, killedBy) => {
      run.signal.removeEventListener('abort', stop);
      // On abort, report the abort's reason, however the program reacted to the signal.
      if (run.signal.aborted) reject(asError(run.signal.reason));
      else if (code === 0) resolve(Buffer.concat(chunks));
      else reject(new ProgramFailed(`ended with ${code ?? killedBy ?? 'no code'}`, stderr));
    });
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
