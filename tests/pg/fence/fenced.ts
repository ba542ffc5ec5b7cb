/** A source with the fence of kind `trigger`, and the sessions of an application beside it. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { MigrationInput } from '../../../contract/input-schema.ts';
import type { Migration } from '../../../contract/migration.ts';
import { fenceOf } from '../../../postgres/fence/kinds.ts';
import type { Fence, Proving } from '../../../postgres/fence/fence-contract.ts';
import { connectSource } from '../../../postgres/session/open.ts';
import type { Session } from '../../../postgres/session/session.ts';
import type { FenceKind } from '../../../contract/fence.ts';
import { inputOf, recordedWork, registered } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair, type Places } from '../../support/database.ts';
import { until } from '../../support/until.ts';

export interface Fenced extends AsyncDisposable {
  readonly db: FreshPair;
  readonly migration: Migration;
  readonly input: MigrationInput;
  /** walferry's session on the source. */
  readonly source: Session;
  readonly fence: Fence;
  /** Another session of the application, as superuser; closed at the end. */
  app(role?: string): Promise<pg.Client>;
  /** Installs until nothing is waiting, and arms for a new cutover. @returns its id and deadline. */
  arm(milliseconds?: number): Promise<{ cutover: string; deadline: string }>;
  prove(how?: Partial<Proving>): ReturnType<Fence['prove']>;
  /** A proof that has noted at least one writer and waits. */
  proving(): Promise<{ readonly end: ReturnType<Fence['prove']> }>;
}

/** Long enough that no test reaches it by being slow. */
const LONG_MS = 120_000;

export async function fenced(
  ddl: string,
  input: Record<string, unknown> = {},
  kind: FenceKind = 'trigger',
  places: Places = {},
): Promise<Fenced> {
  const db = await freshPair(places);
  await db.sourceClient.query(ddl);
  const migration = await registered(db);
  const given = inputOf(db, input);
  const source = await connectSource(migration, 'cutover');
  const fence = fenceOf(kind);
  const apps: pg.Client[] = [];
  return {
    ...{ db, migration, input: given, source, fence },
    app: async (role) => {
      const client = await connectTo(db.source);
      apps.push(client);
      if (role !== undefined) {
        await client.query(/* sql */ `set session authorization ${pg.escapeIdentifier(role)}`);
      }
      return client;
    },
    arm: async (milliseconds = LONG_MS) => {
      await until('the fence to be installed', async () => {
        const { waiting } = await fence.install(source, migration, given, recordedWork());
        return waiting.length === 0;
      });
      const cutover = randomUUID();
      return { cutover, ...(await fence.arm(source, migration, { cutover, milliseconds })) };
    },
    prove: (how = {}) =>
      fence.prove(source, migration, recordedWork(), {
        withinMs: 20_000,
        endSessions: false,
        ...how,
      }),
    proving: async () => {
      const work = recordedWork();
      const end = fence.prove(source, migration, work, { withinMs: 20_000, endSessions: false });
      end.catch(() => undefined);
      await until('the proof to wait', () => work.beats.length > 0, { everyMilliseconds: 5 });
      return { end };
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(apps.map((one) => one.end().catch(() => undefined)));
      await source.end().catch(() => undefined);
      await db[Symbol.asyncDispose]();
    },
  };
}

/** The SQLSTATE of a statement; `done` when it worked. Its locks are gone then: the server sends an error before it rolls back. */
export const stateOf = (client: pg.Client, sql: string): Promise<string> =>
  client.query(sql).then(
    () => 'done',
    async (error: unknown) => {
      await client.query(/* sql */ `select`).catch(() => undefined);
      return error instanceof pg.DatabaseError ? (error.code ?? '') : String(error);
    },
  );

export const REFUSED = '25006';
