/** What copySchema will run, read at one point in time: the sorted archive without the deferred parts. */
import type { MigrationInput } from '../../contract/input.ts';
import type { Work } from '../../contract/work.ts';
import { isViaRoot } from '../catalog/root.ts';
import { compileSelection } from '../catalog/selection.ts';
import type { ArchiveEntry } from './archive.ts';
import type { StoredArchive } from './control.ts';
import { deferChecks, type DeferredCheck } from './deferred-check.ts';
import { ArchiveFile } from './dump.ts';
import { filterArchive, type FilteredArchive } from './filter.ts';
import { withoutDroppedRoles } from './init-right.ts';
import { mergeArchives, offsetsOf } from './merge.ts';
import type { SourceSchema } from './source.ts';

export interface SchemaPlan {
  /** The first holds all that the others do not: see merge.ts. */
  readonly archives: readonly StoredArchive[];
  /** Oids of the materialized views that hold rows. */
  readonly populated: ReadonlySet<string>;
  readonly plan: FilteredArchive & {
    /** Check constraints that are taken out of the entries and added at the cutover. */
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
  const { archives, ties, populated, members, checks, droppedRoles } = await source.dump(
    work,
    tablesPerDump,
  );
  const lists: ArchiveEntry[][] = [];
  for (const archive of archives) {
    await using file = await ArchiveFile.create(archive, work.signal);
    lists.push(await file.entries(input.schema.owners));
    work.beat({ step: 'reading the archive', parts: lists.length, of: archives.length });
  }
  const offsets = offsetsOf(lists);
  const entries = mergeArchives(lists, ties);
  work.beat({ step: 'sorting the schema', entries: entries.length });
  const matcher = compileSelection(input.tables);
  const filtered = filterArchive(withoutDroppedRoles(entries, droppedRoles), {
    selected: new Set(
      source.relations.filter(({ viaRoot }) => viaRoot === null).map(({ oid }) => String(oid)),
    ),
    given: new Set(source.rooted.filter(isViaRoot).map(({ oid }) => String(oid))),
    excluded: (schema, name) => matcher.excludes({ schema, name }),
    grants: input.schema.grants,
    leave: {
      extensions: new Set(input.leave.extensions),
      eventTriggers: new Set(input.leave.eventTriggers),
      members,
    },
  });
  const deferred = deferChecks(filtered.kept, checks);
  const stored = archives.map((content, i) => ({ offset: offsets[i] ?? 0, content }));
  return { archives: stored, populated, plan: { ...filtered, ...deferred } };
}
