/** Whether the schema can be tried on the target. */
import type { Relation } from '../../catalog/relation.ts';
import type { ProgramFacts } from '../facts/programs.ts';
import { createsTables, type TargetTable } from '../facts/target-tables.ts';

interface Possible {
  readonly source: {
    readonly major: number;
    readonly relations: readonly Relation[];
    readonly unreadable: readonly unknown[];
    readonly unreadableSequences: readonly unknown[];
  } | null;
  readonly target: {
    readonly mayCreateSchemas: boolean;
    readonly tables: readonly TargetTable[];
    readonly roots: readonly unknown[];
  } | null;
  readonly programs: readonly ProgramFacts[];
}

/** Whether walferry will create the schema, and no other finding prevents a rehearsal. */
export function canRehearse({ source, target, programs }: Possible): boolean {
  if (source === null || target === null || !createsTables(target)) return false;
  if (programs.some(({ major }) => major === null || major < source.major)) return false;
  const roots = source.relations.filter(({ viaRoot }) => viaRoot !== null);
  return (
    source.relations.length > 0 &&
    source.unreadable.length === 0 &&
    source.unreadableSequences.length === 0 &&
    target.mayCreateSchemas &&
    (roots.length === 0 || target.roots.length > 0)
  );
}
