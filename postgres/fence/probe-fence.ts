/**
 * The fence on a table of walferry's own, in a transaction that is rolled back: a rehearsal arms, seals and opens it as a cutover
 * does, and no table of the application is touched. It finds what keeps the fence from refusing on this server.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { FENCE_SCHEMA } from '../catalog/own-object.ts';
import { inSavepoint, rolledBack } from '../connection/in-transaction.ts';
import { isoMoment } from '../connection/iso-moment.ts';
import { failed } from '../session/ddl-failure.ts';
import { REFUSED_STATE, replaceFunction, type Body } from './fence-body.ts';
import { fenceNames } from './fence-name.ts';

const TABLE = `${FENCE_SCHEMA}.probe`;
/** The session is to be refused like one of the application. A second rehearsal at the same time waits for the table's name. */
const BEGIN = /* sql */ `begin; set local lock_timeout = 2000; set local walferry.apply = off`;
const AHEAD_MS = 1_000;

/** @throws MigrationError `FenceRefused` when a write passes a closed fence, or an open one refuses it; errors of the driver. */
export async function probeFence(source: pg.ClientBase, migration: Migration): Promise<void> {
  // Its own function: that of the migration keeps its text, and no writer waits for it.
  const probe = { id: `${migration.id} probe` };
  const { triggerSql, functionSql } = fenceNames(probe);
  await rolledBack(
    source,
    async () => {
      await source.query(replaceFunction(probe, { state: 'open' }));
      // ALWAYS, as on tables that the role owns: the session's replication role does not matter.
      await source
        .query(
          /* sql */ `
        create table ${TABLE} (id int generated always as identity primary key);
        create trigger ${triggerSql} before insert or update or delete or truncate on ${TABLE} for each statement execute function ${functionSql}();
        alter table ${TABLE} enable always trigger ${triggerSql}`,
        )
        .catch((error: unknown) => {
          const what = "a table of walferry's own, to try the fence on, could not be created";
          throw failed(error, { what, code: 'SchemaFailed', side: 'source', object: TABLE });
        });
      const look = async (body: Body, refuses: boolean): Promise<void> => {
        await source.query(replaceFunction(probe, body));
        const state = await inSavepoint(
          source,
          () => source.query(/* sql */ `insert into ${TABLE} default values`),
          (sqlstate) => sqlstate === REFUSED_STATE,
        );
        if ((state === REFUSED_STATE) !== refuses) throw unlike(migration, body, refuses);
      };
      await look({ state: 'open' }, false);
      await look({ state: 'armed', deadline: await fromNow(source, AHEAD_MS) }, true);
      await look({ state: 'armed', deadline: await fromNow(source, -AHEAD_MS) }, false);
      await look({ state: 'sealed' }, true);
      await look({ state: 'open' }, false);
    },
    BEGIN,
  );
}

async function fromNow(source: pg.ClientBase, milliseconds: number): Promise<string> {
  const { rows } = await source.query<{ at: string }>(
    /* sql */ `
    select ${isoMoment(`(pg_catalog.clock_timestamp() + $1 * interval '1 ms')`)} as at`,
    [milliseconds],
  );
  return rows[0]?.at ?? '';
}

function unlike({ source }: Migration, { state }: Body, refuses: boolean): MigrationError {
  const seen = refuses ? 'let a write pass' : 'refused a write';
  return new MigrationError(
    'FenceRefused',
    `a fence on a table of walferry's own in "${source}" ${seen} while it was ${state}: a cutover would not be safe, choose another fence`,
    { object: TABLE, side: 'source' },
  );
}
