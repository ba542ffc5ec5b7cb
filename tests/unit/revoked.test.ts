/** Revoked rights by name, bounded: many tables of one role must not take the room of another one. */
import type pg from 'pg';
import { expect, test } from 'vitest';
import { describeAllRights, describeRights } from '../../postgres/fence/revoked.ts';

const TABLES = 1_500;
const right = (table: number, privilege: 'INSERT' | 'UPDATE', grantee: string) => ({
  ...{ table, privilege, column: null, grantee, grantor: 'own', grantable: false },
});

test('the rights of one role on 1,500 tables are named in parts, and those of another role beside them', async () => {
  const tables = Array.from({ length: TABLES }, (_, at) => ({
    ...{ oid: at, name: `public.customer_order_${at}`, owner: 'own' },
  }));
  // Only the catalog's rows matter here.
  const source = { query: () => Promise.resolve({ rows: tables }) } as unknown as pg.ClientBase;
  const rights = [
    ...tables.map(({ oid }) => right(oid, 'INSERT', 'app')),
    right(0, 'UPDATE', 'small'),
  ];
  const all = await describeAllRights(source, rights);
  const granted = all.flatMap(({ undo = '' }) => undo.match(/customer_order_\d+/g) ?? []);
  expect(new Set(granted).size).toBe(TABLES);
  // Each name once: `what` tells the parts apart.
  expect(new Set(all.map(({ what }) => what)).size).toBe(all.length);
  const bounded = await describeRights(source, rights);
  expect(bounded.map(({ undo }) => undo)).toContain(
    'grant UPDATE on table public.customer_order_0 to "small"',
  );
  expect(bounded.length).toBeGreaterThan(10);
  expect(bounded.at(-1)?.what).toMatch(/^\d+ more groups of rights, too many to name/);
});
