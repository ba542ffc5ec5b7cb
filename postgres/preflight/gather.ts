/** Reads the facts of both sides and of this worker. Fails only when aborted: an unreadable side becomes a fact itself. */
import type pg from 'pg';
import type { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { clientProgram } from '../connection/program.ts';
import { connect } from '../connection/connect.ts';
import { backendPidOf } from '../connection/socket.ts';
import type { Facts, ProgramFacts, ServerFacts, Side } from './facts.ts';
import { probePlugin } from './plugin.ts';
import { isOwn, readEndpoint, type EndpointFacts } from './read/endpoint.ts';
import { whileWatched } from '../session/liveness.ts';
import { canRehearse, rehearse } from './rehearsal.ts';
import { readServer } from './server.ts';
import { readSource } from './source.ts';
import { readTarget } from './target.ts';

/**
 * Catalog queries take milliseconds, or half a minute with a hundred thousand tables. A table on the target that another session
 * has locked must not delay the findings.
 */
const LIMITS = { statementTimeoutMs: 300_000, lockTimeoutMs: 10_000 };

export async function gatherFacts(
  migration: Migration,
  input: MigrationInput,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<Facts> {
  const failures: { side: Side; failure: MigrationError }[] = [];
  const endpoints: Record<Side, EndpointFacts | null> = { source: null, target: null };
  const inspect = async <T>(side: Side, read: Reading<T>): Promise<T | null> => {
    work.beat({ step: `inspecting the ${side}` });
    const options = { ...LIMITS, signal: work.signal };
    try {
      await using client = await connect(migration[side], 'preflight', options);
      const endpoint = await readEndpoint(migration[side], client, side === 'source', options);
      endpoints[side] = endpoint;
      // Behind a pooler, queries of one session may reach several; checks/endpoint.ts reports that.
      if (!isOwn(endpoint)) return null;
      // Reading the whole catalog takes minutes with a hundred thousand tables.
      return await whileWatched(
        [{ side, migration, purpose: 'preflight', pid: backendPidOf(client) }],
        work,
        () => ({ step: `inspecting the ${side}` }),
        async () => read(client, await readServer(client)),
      );
    } catch (error) {
      work.signal.throwIfAborted();
      const failure = classify(error, { step: `inspecting the ${side}`, side }, 'Internal');
      failures.push({ side, failure });
      return null;
    }
  };
  const source = await inspect('source', async (client, server) => {
    const { superuser, replication } = server.role;
    const plugin = await probePlugin(migration.source, superuser || replication, work.signal);
    return await readSource(client, input, server, plugin);
  });
  const target = await inspect('target', (client, server) => readTarget(client, server, source));
  const programs = await readPrograms();
  const facts = { migration, input, source, target, endpoints, failures, programs };
  return {
    ...facts,
    rehearsal: canRehearse(facts) ? await rehearse(migration, input, work) : null,
  };
}

type Reading<T> = (client: pg.Client, server: ServerFacts) => Promise<T>;

/** The programs that copy the schema. */
async function readPrograms(): Promise<ProgramFacts[]> {
  const names = ['pg_dump', 'pg_restore'] as const;
  return Promise.all(
    names.map(async (name) => {
      try {
        return { name, major: (await clientProgram(name)).major };
      } catch {
        return { name, major: null };
      }
    }),
  );
}
