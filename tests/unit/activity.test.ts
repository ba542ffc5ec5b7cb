/** The adapters between steps and Temporal: how an activity ends, for every cause. */
import {
  ActivityCancellationDetails,
  ApplicationFailure,
  CancelledFailure,
} from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { createActivities } from '../../activities/create.ts';
import { Room } from '../../activities/worker-capacity.ts';
import { activity, type Adapting } from '../../activities/work.ts';
import { MigrationError } from '../../contract/failure.ts';
import { FAILURES, type FailureCode } from '../../contract/failure-catalogue.ts';
import { parseInput } from '../../contract/input.ts';
import type { Work } from '../../contract/work.ts';
import { simulatedSteps } from '../e2e/workflow/world.ts';

const logger = new DefaultLogger('ERROR');

type Ending = 'returns' | 'throws its own error' | 'throws the reason';
type Cause = ConstructorParameters<typeof ActivityCancellationDetails>[0];

/** Runs a step that is asked to stop, and ends it as given. */
async function stopped(cause: Cause, ending: Ending, adapting: Adapting): Promise<unknown> {
  const environment = new MockActivityEnvironment({}, { logger });
  const step = async (_: object, { signal }: Work) => {
    environment.cancel('CANCELLED', new ActivityCancellationDetails(cause));
    await new Promise((resolve) => setTimeout(resolve));
    if (ending === 'throws its own error') throw new Error('connection terminated');
    if (ending === 'throws the reason') signal.throwIfAborted();
    return 'a checkpoint';
  };
  return environment
    .run(activity('streamChanges', step, adapting), {})
    .catch((error: unknown) => error);
}

describe('a step that is asked to stop', () => {
  const reason = expect.any(CancelledFailure) as unknown;
  test.each<[string, Cause, Ending, Adapting, unknown]>([
    ['cancelled', { cancelRequested: true }, 'returns', { early: 'on cancel' }, 'a checkpoint'],
    ['cancelled', { cancelRequested: true }, 'throws its own error', {}, reason],
    ['cancelled', { cancelRequested: true }, 'throws the reason', {}, reason],
    ['shut down', { workerShutdown: true }, 'returns', { early: 'on cancel' }, reason],
    [
      'shut down',
      { workerShutdown: true },
      'returns',
      { early: 'on cancel and shutdown' },
      'a checkpoint',
    ],
    ['shut down', { workerShutdown: true }, 'returns', {}, 'a checkpoint'],
    ['paused', { paused: true }, 'returns', { early: 'on cancel and shutdown' }, reason],
    ['paused', { paused: true }, 'returns', {}, 'a checkpoint'],
    ['paused', { paused: true }, 'throws its own error', {}, reason],
    ['reset', { reset: true }, 'returns', { early: 'on cancel and shutdown' }, reason],
    ['timed out', { timedOut: true }, 'returns', { early: 'on cancel and shutdown' }, reason],
    ['not found', { notFound: true }, 'throws its own error', { early: 'on cancel' }, reason],
  ])('%s (%o), %s, %o', async (_, cause, ending, adapting, expected) => {
    expect(await stopped(cause, ending, adapting)).toEqual(expected);
  });
});

describe('a step that fails', () => {
  const failing = async (error: Error) =>
    new MockActivityEnvironment({}, { logger })
      .run(
        activity('copyChunks', () => Promise.reject(error)),
        {},
      )
      .catch((failure: unknown) => failure);

  test.each(Object.keys(FAILURES) as FailureCode[])(
    '%s is retried only when time can fix it',
    async (code) => {
      const failure = await failing(
        new MigrationError(code, 'what and where', { table: 'public.t' }),
      );
      expect(failure).toBeInstanceOf(ApplicationFailure);
      expect(failure).toMatchObject({
        ...{ type: code, message: 'what and where', details: [{ table: 'public.t' }] },
        nonRetryable: FAILURES[code].handling !== 'timed',
      });
    },
  );

  test('reports neither row values nor paths, which a server message contains', async () => {
    const server = new pg.DatabaseError('invalid input syntax: "4111 1111 1111 1111"', 9, 'error');
    Object.assign(server, { code: '22P02', detail: 'Key (card)=(4111 1111 1111 1111)' });
    const failure = await failing(server);
    expect(failure).toMatchObject({ type: 'Internal', stack: '', cause: undefined });
    expect(JSON.stringify(failure) + String(failure)).not.toContain('4111');
    expect(String(failure)).toContain('22P02');
  });

  test('an outage is retried, whatever error the driver reports', async () => {
    const gone = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    expect(await failing(gone)).toMatchObject({ type: 'Unreachable', nonRetryable: false });
  });
});

test('a step sends a heartbeat before its first statement: connecting may take longer than the heartbeat timeout', async () => {
  const environment = new MockActivityEnvironment({}, { logger });
  const beats: unknown[] = [];
  environment.on('heartbeat', (details: unknown) => beats.push(details));
  await environment.run(
    activity('planCopy', () => {
      expect(beats).toEqual([{ step: 'planCopy' }]);
      return Promise.resolve();
    }),
    {},
  );
  expect(beats).toHaveLength(1);
});

test('preflight sends heartbeats while one side is slow: otherwise it would be retried forever', async () => {
  const environment = new MockActivityEnvironment({}, { logger });
  const simulated = simulatedSteps(() => {
    throw new Error('only preflight is run');
  });
  const preflight = () =>
    new Promise<[]>((resolve) => {
      environment.on('heartbeat', () => resolve([]));
    });
  const activities = createActivities({
    steps: { ...simulated, preflight },
    room: new Room({ migrations: 1, copies: 1 }),
  });
  const migration = { id: 'm', workflowId: 'w', source: 's', target: 't', slot: 'walferry_w' };
  const input = parseInput({ source: 's', target: 't' });
  if (!input.ok) throw new Error(input.message);
  const run = () => activities.preflight({ migration, input: input.input });
  expect(await environment.run(run)).toEqual([]);
});
