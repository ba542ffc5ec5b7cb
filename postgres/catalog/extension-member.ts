/**
 * Tables and sequences that belong to an extension. pg_dump omits them because CREATE EXTENSION creates them. But nothing creates
 * a member that a user added (`alter extension … add table`, as pgmq does with its queues): its rows would be lost silently.
 */
import type pg from 'pg';
import { inSavepoint } from '../connection/in-transaction.ts';

export interface ExtensionMember {
  readonly extension: string;
  /** `table public.queue`, as the catalog describes it. */
  readonly name: string;
  readonly relation: string | null;
  /** Configuration table: the extension's condition selects the user's rows; preflight reports them in another finding. */
  readonly isConfig: boolean;
  /** Whether a table has rows or a sequence was used; true if that could not be read. */
  readonly used: boolean;
  /** Equal for equal contents; null if there is none or it was not read. */
  readonly content: string | null;
}

interface MemberRow {
  readonly extension: string;
  readonly name: string;
  readonly relation: string | null;
  readonly kind: string | null;
  readonly pages: number;
  readonly isConfig: boolean;
}

const MEMBERS = /* sql */ `
select e.extname as extension, i.type || ' ' || i.identity as name, c.relkind as kind, coalesce(c.relpages, 0) as pages,
       case when c.relkind in ('r', 'p', 'S') then format('%I.%I', n.nspname, c.relname) end as relation,
       coalesce(c.oid = any (e.extconfig), false) as "isConfig"
  from pg_catalog.pg_extension e
  join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
 cross join lateral pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) i
  left join pg_catalog.pg_class c on d.classid = 'pg_catalog.pg_class'::regclass and c.oid = d.objid
  left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where e.extname = any($1::text[]) order by 1, 2`;

/** Larger tables are not compared row by row; tables that extensions ship are small. */
const MOST_PAGES = 5_000;

/** Members of the extensions and their contents. Needs an open transaction, which stays usable. */
export async function readExtensionMembers(
  client: pg.ClientBase,
  extensions: readonly string[],
): Promise<ExtensionMember[]> {
  const { rows } = await client.query<MemberRow>(MEMBERS, [extensions]);
  const members: ExtensionMember[] = [];
  for (const { kind, pages, ...member } of rows) {
    const { relation } = member;
    members.push({
      ...member,
      ...(relation === null || (member.isConfig && kind !== 'S')
        ? { used: false, content: null }
        : await readContent(client, relation, { kind, pages })),
    });
  }
  return members;
}

async function readContent(
  client: pg.ClientBase,
  relation: string,
  { kind, pages }: Pick<MemberRow, 'kind' | 'pages'>,
): Promise<Pick<ExtensionMember, 'used' | 'content'>> {
  // Unreadable does not mean empty.
  let found: Pick<ExtensionMember, 'used' | 'content'> = { used: true, content: null };
  const read = async (): Promise<void> => {
    if (kind === 'S') {
      const { rows } = await client.query<{ used: boolean; content: string }>(
        `select is_called as used, last_value || ':' || is_called as content from ${relation}`,
      );
      found = rows[0] ?? found;
      return;
    }
    const { rows } = await client.query<{ used: boolean }>(
      `select exists (select from ${relation}) as used`,
    );
    const used = rows[0]?.used ?? true;
    if (!used) found = { used, content: 'empty' };
    if (!used || pages > MOST_PAGES) return;
    const hashed = await client.query<{ content: string }>(
      `select count(*) || ':' || sum(pg_catalog.hashtextextended(t::text, 0)) as content from ${relation} t`,
    );
    found = { used, content: hashed.rows[0]?.content ?? null };
  };
  await inSavepoint(client, read, () => true);
  return found;
}
