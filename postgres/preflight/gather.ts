/** Reads the facts of both sides and of this worker. Fails only when aborted: an unreadable side becomes a fact itself. */
import type { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { connect } from '../connection/connect.ts';
import { backendPidOf } from '../connection/socket.ts';
import type { Side } from './check.ts';
import { isOwn, readEndpoint, type EndpointFacts } from './facts/endpoint.ts';
import { whileWatched } from '../session/liveness.ts';
import { canRehearse } from './rehearsal/possible.ts';
import { rehearse } from './rehearsal/rehearse.ts';
import { readSource, readTarget, type AllFacts } from './checks.ts';
import { readPrograms } from './facts/programs.ts';
import type { Reader, Reading } from './reading.ts';
import { readServer } from './server.ts';

/**
 * Catalog queries take milliseconds, or half a minute with a hundred thousand tables. A table on the target that another session
 * has locked must not delay the findings.
 */
const LIMITS = { statementTimeoutMs: 300_000, lockTimeoutMs: 10_000 };

export async function gatherFacts(
  migration: Migration,
  input: MigrationInput,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<AllFacts> {
  const failures: { side: Side; failure: MigrationError }[] = [];
  const endpoints: Record<Side, EndpointFacts | null> = { source: null, target: null };
  const inspect = async <T>(side: Side, read: Reader<Reading, T>): Promise<T | null> => {
    work.beat({ step: `inspecting the ${side}` });
    const options = { ...LIMITS, signal: work.signal };
    try {
      await using client = await connect(migration[side], 'preflight', options);
      const endpoint = await readEndpoint(migration[side], client, side === 'source', options);
      endpoints[side] = endpoint;
      // Behind a pooler, queries of one session may reach several; checks/connection.ts reports that.
      if (!isOwn(endpoint)) return null;
      // Reading the whole catalog takes minutes with a hundred thousand tables.
      return await whileWatched(
        [{ side, migration, purpose: 'preflight', pid: backendPidOf(client) }],
        work,
        () => ({ step: `inspecting the ${side}` }),
        async () => read({ client, server: await readServer(client) }),
      );
    } catch (error) {
      work.signal.throwIfAborted();
      const failure = classify(error, { step: `inspecting the ${side}`, side }, 'Internal');
      failures.push({ side, failure });
      return null;
    }
  };
  const more = { input, signal: work.signal };
  const source = await inspect('source', async (of) => {
    const reading = { ...of, ...more, service: migration.source };
    return { reading, facts: await readSource(reading) };
  });
  const target = await inspect('target', (of) =>
    readTarget({
      ...{ ...of, ...more, service: migration.target },
      source: source?.reading ?? null,
    }),
  );
  const facts = {
    ...{ migration, input, endpoints, failures, target },
    source: source?.facts ?? null,
    programs: await readPrograms(),
  };
  return {
    ...facts,
    rehearsal: canRehearse(facts) ? await rehearse(migration, input, work) : null,
  };
}
