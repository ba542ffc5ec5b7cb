/** What copySchema will run, from one moment of the source: the archive, sorted, with what has to wait taken out of it. */
import type { MigrationInput } from '../../contract/input.ts';
import type { Work } from '../../contract/work.ts';
import { isViaRoot } from '../catalog/root.ts';
import { compileSelection } from '../catalog/selection.ts';
import { deferChecks, type DeferredCheck } from './deferred-check.ts';
import { ArchiveFile } from './dump.ts';
import { filterArchive, type FilteredArchive } from './filter.ts';
import { withoutDroppedRoles } from './init-right.ts';
import type { SourceSchema } from './source.ts';

export interface SchemaPlan {
  readonly archive: Buffer;
  /** Oids of the materialized views that hold rows. */
  readonly populated: ReadonlySet<string>;
  readonly plan: FilteredArchive & {
    /** Check constraints that are taken out of the entries and added at the cutover. */
    readonly checks: readonly DeferredCheck[];
  };
}

/** @throws MigrationError as `dumpSchema`; `signal.reason` when aborted. */
export async function planSchema(
  source: SourceSchema,
  input: MigrationInput,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<SchemaPlan> {
  const { archive, populated, members, checks, droppedRoles } = await source.dump(work);
  await using file = await ArchiveFile.create(archive, work.signal);
  const entries = await file.entries(input.schema.owners);
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
  return { archive, populated, plan: { ...filtered, ...deferred } };
}
