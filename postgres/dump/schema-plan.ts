/** What copySchema will run, as of one snapshot: the sorted archive without the deferred parts. */
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Work } from '../../contract/work.ts';
import { isViaRoot } from '../catalog/row-destination.ts';
import { compileSelection } from '../catalog/selection.ts';
import type { ArchiveEntry } from '../archive/archive.ts';
import { deferChecks, type DeferredCheck } from '../archive/deferred-check.ts';
import { ArchiveFile } from './pg-dump.ts';
import { filtering, type Choice, type FilteredArchive } from '../archive/archive-filter.ts';
import { withoutDroppedRoles } from '../archive/init-right.ts';
import { merging, offsetsOf } from '../archive/archive-merge.ts';
import { withNullable } from '../archive/nullable-child.ts';
import type { SourceSchema } from './source-schema.ts';
import type { Together } from './lock-table-full.ts';
import { inTurns } from '../archive/yielding-work.ts';
import type { StoredArchive } from '../store/archive-bytes.ts';

export interface SchemaPlan {
  /** The first contains everything that the others do not: see archive-merge.ts. */
  readonly archives: readonly StoredArchive[];
  /** Oids of the materialized views that hold rows. */
  readonly populated: ReadonlySet<string>;
  /** Null: no dump locked more than half of the source's lock table. */
  readonly together: Together | null;
  readonly plan: FilteredArchive & {
    /** Check constraints that are removed from the entries and added at the cutover. */
    readonly checks: readonly DeferredCheck[];
  };
}

/**
 * @param tablesPerDump for tests.
 * @throws MigrationError as `dumpSchema`; `signal.reason` when aborted.
 */
export async function planSchema(
  source: SourceSchema,
  input: MigrationInput,
  work: Pick<Work, 'signal' | 'beat'>,
  tablesPerDump?: number,
): Promise<SchemaPlan> {
  const dump = await source.dump(work, tablesPerDump);
  const { archives, ties, populated, together, members, checks, nullable, droppedRoles } = dump;
  const lists: ArchiveEntry[][] = [];
  for (const archive of archives) {
    await using file = await ArchiveFile.create(archive, work);
    lists.push(await file.entries(input.schema.owners));
    work.beat({ step: 'reading the archive', parts: lists.length, of: archives.length });
  }
  const offsets = offsetsOf(lists);
  const sorting = () => work.beat({ step: 'sorting the schema' });
  const entries = await inTurns(merging(lists, ties), sorting);
  const matcher = compileSelection(input.tables);
  const choice: Choice = {
    selected: new Set(
      source.relations.filter(({ viaRoot }) => viaRoot === null).map(({ oid }) => String(oid)),
    ),
    given: new Set(source.rooted.filter(isViaRoot).map(({ oid }) => String(oid))),
    excluded: (schema, name) => matcher.excludes({ schema, name }),
    grants: input.schema.grants,
    ignore: {
      extensions: new Set(input.ignore.extensions),
      eventTriggers: new Set(input.ignore.eventTriggers),
      members,
    },
  };
  const filtered = await inTurns(
    filtering(withoutDroppedRoles(entries, droppedRoles), choice),
    sorting,
  );
  const deferred = deferChecks(withNullable(filtered.kept, nullable), checks);
  const stored = archives.map((content, i) => ({ offset: offsets[i] ?? 0, content }));
  return { archives: stored, populated, together, plan: { ...filtered, ...deferred } };
}
