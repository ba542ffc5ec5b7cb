/**
 * The worker's log: JSON lines for machines, readable lines on a terminal. Temporal's own messages (SDK and core) use
 * the same log. Fields hold names and numbers, never a row or a password.
 */
import type { LogLevel, LogMetadata, Logger } from '@temporalio/worker';
import { pino, type DestinationStream } from 'pino';

export type LogFormat = 'json' | 'pretty';

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type LogLevelName = (typeof LOG_LEVELS)[number];

/** Fields that are useless to an operator, or repeat on every line. */
const NOISE = new Set(['taskToken', 'sdkComponent', 'namespace', 'taskQueue', 'isLocal']);
const PRETTY_NOISE = new Set(['level', 'time', 'msg', 'runId', 'workflowType', 'activityType']);
const LEVEL_NAMES: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info ',
  40: 'WARN ',
  50: 'ERROR',
};

/** @param format of the lines; @param level the lowest that is written. */
export function createLogger(format: LogFormat, level: LogLevelName): Logger {
  // The numeric level is what log tools know of pino; host and pid are added by the supervisor that collects the lines.
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  const target = format === 'json' ? pino(options) : pino(options, prettyLines());
  const write = (at: LogLevelName, message: string, meta: LogMetadata = {}) => {
    target[at](fields(meta), message);
  };
  return {
    log: (at: LogLevel, message, meta) => write(levelName(at), message, meta),
    trace: (message, meta) => write('trace', message, meta),
    debug: (message, meta) => write('debug', message, meta),
    info: (message, meta) => write('info', message, meta),
    warn: (message, meta) => write('warn', message, meta),
    error: (message, meta) => write('error', message, meta),
  };
}

function levelName(level: LogLevel): LogLevelName {
  return LOG_LEVELS.find((name) => name === level.toLowerCase()) ?? 'info';
}

/** Errors as their message: a stack or a cause may contain row values from a server message. */
function fields(meta: LogMetadata): Record<string, unknown> {
  const kept = Object.entries(meta).filter(([name]) => !NOISE.has(name));
  return Object.fromEntries(
    kept.map(([name, value]) => [
      name,
      value instanceof Error ? `${value.name}: ${value.message}` : value,
    ]),
  );
}

function prettyLines(): DestinationStream {
  return {
    write(line) {
      process.stdout.write(`${pretty(line)}\n`);
    },
  };
}

/** `09:41:07 info  phase from=schema to=snapshot workflowId=orders` */
export function pretty(line: string): string {
  const entry: unknown = JSON.parse(line);
  if (typeof entry !== 'object' || entry === null) return line.trimEnd();
  const { time, level, msg, ...rest } = { time: '', level: 30, msg: '', ...entry };
  const words = Object.entries(rest)
    .filter(([name]) => !PRETTY_NOISE.has(name))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return [time.slice(11, 19), LEVEL_NAMES[level] ?? 'info ', msg, ...words].join(' ');
}
