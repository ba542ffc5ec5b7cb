/** Cleanup of a switch back whose workflow was terminated: what it has taken on the new database is recorded on the old one only. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { reverseOf } from '../../../contract/reversed.ts';
import { takeExtras } from '../../../postgres/fence/extras.ts';
import { readIdentity } from '../../../postgres/identity/identity.ts';
import { connectSource } from '../../../postgres/session/open.ts';
import { decide } from '../../../postgres/store/outcome.ts';
import { createStore } from '../../../postgres/store/upgrade.ts';
import { registerWayBack } from '../../../postgres/store/way-back.ts';
import { removeWayBack } from '../../../scripts/cleanup/remove.ts';
import { recordedWork } from '../../support/control.ts';
import { fenced } from './fenced.ts';

const SCHEMA = /* sql */ `create table public.a (id int primary key); grant insert on public.a to pg_monitor`;
const MAY = /* sql */ `select has_table_privilege('pg_monitor', 'public.a', 'insert') as may, datconnlimit as limit from pg_database where datname = current_database()`;

test.each(['undone', 'switched'] as const)(
  'roles: cleanup of a switch back that is %s leaves exactly one database open for writes',
  async (what) => {
    await using f = await fenced(SCHEMA, {}, 'roles');
    const { sourceClient: old, targetClient: fresh, source, target } = f.db;
    await fresh.query(SCHEMA);
    const first = await f.arm();
    await decide(fresh, f.migration, first.cutover, 'switched');
    await f.fence.seal(f.source, f.migration, first.cutover);
    const reverse = reverseOf(f.migration);
    await createStore(old, source);
    const sides = {
      source: await readIdentity(fresh, target),
      target: await readIdentity(old, source),
    };
    await registerWayBack(old, { reverse, sourceDatabase: target, ...sides });
    await using session = await connectSource(reverse, 'cutover');
    await f.fence.install(session, reverse, f.input, recordedWork());
    const cutover = randomUUID();
    await f.fence.arm(session, reverse, { cutover, milliseconds: 60_000 });
    await takeExtras(session, reverse, {
      ...{ readOnlyDefault: false, connect: false, connectionLimit: true },
    });
    if (what === 'switched') {
      await decide(old, reverse, cutover, what);
      await f.fence.seal(session, reverse, cutover);
    }
    const closed = { may: false, limit: -1 };
    expect((await old.query(MAY)).rows).toEqual([closed]);
    expect((await fresh.query(MAY)).rows).toEqual([{ may: false, limit: 0 }]);

    const said: string[] = [];
    const services = { source, target };
    await removeWayBack({ source: old, target: fresh }, services, reverse, (line) => {
      said.push(line);
    });
    const open = { may: true, limit: -1 };
    const undone = what === 'undone';
    expect((await old.query(MAY)).rows).toEqual([undone ? closed : open]);
    expect((await fresh.query(MAY)).rows).toEqual([undone ? open : closed]);
    expect(said).toEqual([
      ...(undone
        ? [`granted back rights to write on "${target}" (1)`]
        : [
            `rights to write on "${target}" (1) stay revoked: the cutover has switched`,
            `rights of "pg_monitor": INSERT on public.a; to grant them back: grant INSERT on table public.a to "pg_monitor"`,
          ]),
      `gave back on "${target}" what the fence had set: connectionLimit`,
      ...(undone ? [] : [`granted back rights to write on "${source}" (1)`]),
      `removed the way back of orders on "${source}"`,
    ]);
  },
);
