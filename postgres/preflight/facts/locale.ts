/** How a database sorts and compares text. The catalog columns differ between versions. */
import { shared, type Reading } from '../reading.ts';

export interface LocaleFacts {
  /** `libc`, `icu`, `builtin`. */
  readonly provider: string;
  readonly collate: string;
  readonly ctype: string;
  /** Locale of icu and builtin; null with libc. */
  readonly locale: string | null;
  /** Version of the library's collation when the database was created; null if the provider has none (C). */
  readonly version: string | null;
}

const PROVIDERS: Readonly<Record<string, string>> = { c: 'libc', i: 'icu', b: 'builtin' };

export const locale = shared(async ({ client }: Reading): Promise<LocaleFacts> => {
  // As JSON, because a missing column would be an error: datlocprovider and datcollversion are new in 15, and 17 renamed
  // daticulocale to datlocale.
  const { rows } = await client.query<
    Omit<LocaleFacts, 'provider'> & { provider: string }
  >(/* sql */ `
    select coalesce(d ->> 'datlocprovider', 'c') as provider,
           d ->> 'datcollate' as collate, d ->> 'datctype' as ctype,
           coalesce(d ->> 'datlocale', d ->> 'daticulocale') as locale,
           d ->> 'datcollversion' as version
      from (select to_jsonb(x) as d from pg_catalog.pg_database x where datname = current_database()) y`);
  const [row] = rows;
  if (!row) throw new Error('the catalog lacks the database of this session');
  return { ...row, provider: PROVIDERS[row.provider] ?? row.provider };
});
