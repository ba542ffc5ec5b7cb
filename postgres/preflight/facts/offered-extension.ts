/** The source's extensions, as installed or available on the target. */
import { rolledBack } from '../../connection/in-transaction.ts';
import pg from 'pg';
import { SQLSTATE } from '../../connection/failure.ts';
import { readExtensions, type ExtensionFacts } from '../../catalog/extension.ts';
import { readExtensionMembers, type ExtensionMember } from '../../catalog/extension-member.ts';
import { attempt } from '../attempt.ts';
import { shared, type SourceReading, type TargetReading } from '../reading.ts';
import { ignored, type IgnoredFacts } from './ignored-object.ts';
import { createsTables, tables } from './target-tables.ts';

export interface OfferedExtension {
  readonly name: string;
  /** Null if not installed. */
  readonly installed: InstalledExtension | null;
  /** Version that CREATE EXTENSION would install; null if the server has no files of the extension. */
  readonly available: string | null;
  /** SQLSTATE of a failed attempt to create it; null if it succeeded or was not tried. */
  readonly refused: string | null;
}

export interface InstalledExtension {
  readonly version: string;
  readonly schema: string;
  /** Whether `alter extension … set schema` can move it. */
  readonly relocatable: boolean;
  /** The only schema that this version allows; null if any. */
  readonly boundTo: string | null;
}

export const extensions = shared((of: SourceReading) => readExtensions(of.client));

/** Without those that the input ignores. */
export function kept(source: {
  readonly extensions: readonly ExtensionFacts[];
  readonly ignored: Pick<IgnoredFacts, 'extensions'>;
}): ExtensionFacts[] {
  return source.extensions.filter(({ name }) => !source.ignored.extensions.includes(name));
}

export interface Offer {
  readonly extensions: readonly OfferedExtension[];
  /** Their members, actual or after creation. */
  readonly members: readonly ExtensionMember[];
}

/** If the operator created the tables, extensions are theirs, too. The test would fire event triggers and load libraries. */
export const offer = shared(async (of: TargetReading): Promise<Offer> => {
  const nothing = { extensions: [], members: [] };
  if (of.source === null || !createsTables({ tables: await tables(of) })) return nothing;
  const source = { extensions: await extensions(of.source), ignored: await ignored(of.source) };
  const wanted = kept(source);
  return wanted.length === 0 ? nothing : await readOffer(of.client, wanted);
});

async function readOffer(client: pg.ClientBase, wanted: readonly ExtensionFacts[]): Promise<Offer> {
  const { rows } = await client.query<{
    name: string;
    installed: InstalledExtension | null;
    available: string | null;
  }>(
    /* sql */ `
    select wanted.name, a.default_version as available,
           case when e.oid is not null then json_build_object(
             'version', e.extversion, 'schema', n.nspname, 'relocatable', e.extrelocatable, 'boundTo', v.schema) end as installed
      from unnest($1::text[]) as wanted (name)
      left join pg_catalog.pg_extension e on e.extname = wanted.name
      left join pg_catalog.pg_namespace n on n.oid = e.extnamespace
      left join pg_catalog.pg_available_extensions a on a.name = wanted.name
      left join pg_catalog.pg_available_extension_versions v on v.name = wanted.name and v.version = e.extversion
     order by 1`,
    [wanted.map(({ name }) => name)],
  );
  const absent = new Set(
    rows.filter((row) => row.installed === null && row.available !== null).map(({ name }) => name),
  );
  return rolledBack(client, async () => {
    const refusals = await tryToCreate(
      client,
      wanted.filter(({ name }) => absent.has(name)),
    );
    return {
      extensions: rows.map((row) => ({ ...row, refused: refusals.get(row.name) ?? null })),
      members: await readExtensionMembers(
        client,
        wanted.map(({ name }) => name),
      ),
    };
  });
}

/** Transient errors, which are not the extension's. */
const PASSING = new Set<string>([
  SQLSTATE.lockNotAvailable,
  SQLSTATE.deadlockDetected,
  SQLSTATE.queryCanceled,
]);

/**
 * Creates the extensions as copySchema will, in an open transaction that the caller rolls back. The control file's `superuser`
 * and `trusted` are not sufficient: hosted servers have their own rules, and some extensions need a preloaded library or a free
 * name. CASCADE creates required extensions, because their order is unknown here.
 */
async function tryToCreate(
  client: pg.ClientBase,
  wanted: readonly ExtensionFacts[],
): Promise<Map<string, string>> {
  const refused = new Map<string, string>();
  for (const { name, schema } of wanted) {
    const place = pg.escapeIdentifier(schema);
    // The right to create schemas has its own check; without it, the extension is tried in the default schema.
    const inSchema =
      schema === 'pg_catalog' ||
      (await attempt(client, /* sql */ `create schema if not exists ${place}`)) === null;
    const state = await attempt(
      client,
      /* sql */ `create extension if not exists ${pg.escapeIdentifier(name)} ${inSchema ? `with schema ${place}` : ''} cascade`,
    );
    if (state !== null && !PASSING.has(state)) refused.set(name, state);
  }
  return refused;
}
