/** pgcopydb, when it is on the PATH. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { testRun } from '../../tests/support/run.ts';
import { STREAMS } from '../rig/settings.ts';
import type { Rig } from '../rig/rig.ts';

/** The capabilities of the one on the PATH. */
export interface Pgcopydb {
  /** E.g. `0.17`. */
  readonly version: string;
  /** As many jobs as the others have streams; large tables in parts, which it does not split by default. */
  readonly settings: string;
  /** Its option for binary rows; undefined if it has none. */
  readonly binary: string | undefined;
  /** Whether `clone --follow` is worth measuring: since 0.17. */
  readonly follow: boolean;
}

const FOLLOW_SINCE = [0, 17] as const;
const SLOT = 'bench_pgcopydb';

/** Looks for it; undefined if it is not installed. */
export function findPgcopydb(): Pgcopydb | undefined {
  const said = (...args: string[]): string | undefined => {
    const { status, stdout, stderr } = spawnSync('pgcopydb', args, { encoding: 'utf8' });
    return status === 0 ? stdout + stderr : undefined;
  };
  const version = /\d+\.\d+/.exec(said('--version') ?? '')?.[0];
  if (version === undefined) return undefined;
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const help = said('clone', '--help') ?? '';
  const binary = /--(?:use|with)-copy-binary/.exec(help)?.[0];
  const settings = [
    `--table-jobs ${STREAMS} --index-jobs ${STREAMS}`,
    ...(help.includes('--restore-jobs') ? [`--restore-jobs ${STREAMS}`] : []),
    '--split-tables-larger-than 64MB --no-owner --no-acl',
  ].join(' ');
  const follow = major > FOLLOW_SINCE[0] || (major === FOLLOW_SINCE[0] && minor >= FOLLOW_SINCE[1]);
  return { version, settings, binary, follow };
}

export interface Clone {
  readonly source: string;
  readonly target: string;
  readonly settings: string;
  /** The option for binary rows. */
  readonly binary?: string | undefined;
  /** With a slot, until it has applied everything that the source had written before it started. */
  readonly follow?: boolean;
}

/** `pgcopydb clone`. @returns seconds. */
export async function pgcopydbClone(rig: Rig, clone: Clone): Promise<number> {
  const { source, target, settings, binary = '', follow = false } = clone;
  const folder = mkdtempSync(path.join(testRun().folder, 'pgcopydb-'));
  const following = follow
    ? `--follow --slot-name ${SLOT} --origin ${SLOT} --endpos ${await rig.source.value(source, 'select pg_current_wal_flush_lsn()')}`
    : '';
  const env = {
    ...rig.source.environment(source),
    PATH: process.env['PATH'],
    PGCOPYDB_SOURCE_PGURI: rig.source.conninfo(source),
    PGCOPYDB_TARGET_PGURI: rig.target.conninfo(target),
  };
  const began = performance.now();
  try {
    const command = `pgcopydb clone --dir "${folder}" ${settings}`;
    await rig.source.shell(`${command} ${binary} ${following}`, env);
    return (performance.now() - began) / 1000;
  } finally {
    if (follow) await forget(rig, source, target);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Slot, publication and origin outlive the command: the next one would continue from there. */
async function forget(rig: Rig, source: string, target: string): Promise<void> {
  await rig.source.rows(
    source,
    `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '${SLOT}'`,
  );
  await rig.source.rows(
    source,
    `do $$ declare one name; begin
       for one in select pubname from pg_publication where pubname like '%pgcopydb%' loop
         execute format('drop publication %I', one);
       end loop;
     end $$`,
  );
  await rig.target.rows(
    target,
    `select pg_replication_origin_drop(roname) from pg_replication_origin where roname = '${SLOT}'`,
  );
}
