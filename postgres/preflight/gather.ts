/** Reads the facts of both sides and of this worker. Fails only when told to stop: what cannot be read becomes a fact itself. */
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { clientProgram } from '../connection/program.ts';
import { connect } from '../connection/session.ts';
import type { Facts, PluginFacts, ProgramFacts, ServerFacts, Side, SourceFacts } from './facts.ts';
import { probePlugin } from './plugin.ts';
import { readServer } from './server.ts';
import { readSource } from './source.ts';
import { readTarget } from './target.ts';

/** Catalog queries take milliseconds; a table on the target that somebody has locked must not hold up the findings. */
const LIMITS = { statementTimeoutMs: 60_000, lockTimeoutMs: 10_000 };

/** The oldest server whose catalogs these queries fit. */
const OLDEST_READABLE = 13;

export async function gatherFacts(
  migration: Migration,
  input: MigrationInput,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<Facts> {
  const failures: { side: Side; failure: MigrationError }[] = [];
  const attempt = async <T>(side: Side, read: () => Promise<T>): Promise<T | null> => {
    work.beat({ step: `looking at the ${side}` });
    try {
      return await read();
    } catch (error) {
      work.signal.throwIfAborted();
      const failure = classify(error, { step: `inspecting the ${side}`, side }, 'Internal');
      failures.push({ side, failure });
      return null;
    }
  };
  const source = await attempt('source', () => lookAtSource(migration, input, work.signal));
  const target = await attempt('target', async () => {
    await using client = await connect(migration.target, 'preflight', {
      ...LIMITS,
      signal: work.signal,
    });
    return await readTarget(client, await readServer(client), source);
  });
  return { migration, input, source, target, failures, programs: await lookAtPrograms() };
}

async function lookAtSource(
  migration: Migration,
  input: MigrationInput,
  signal: AbortSignal,
): Promise<SourceFacts> {
  await using client = await connect(migration.source, 'preflight', { ...LIMITS, signal });
  const server = await readServer(client);
  if (server.major < OLDEST_READABLE) {
    throw new MigrationError(
      'Internal',
      `the source is PostgreSQL ${server.version}; walferry reads ${OLDEST_READABLE} and later`,
    );
  }
  return await readSource(client, input, server, await tryPlugin(migration.source, server, signal));
}

async function tryPlugin(
  service: string,
  { role }: ServerFacts,
  signal: AbortSignal,
): Promise<PluginFacts> {
  return probePlugin(service, role.superuser || role.replication, signal);
}

/** The programs that copy the schema. */
async function lookAtPrograms(): Promise<ProgramFacts[]> {
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
