/** The output of `walferry compare`. Pure. */
import type { CompareResult } from './databases.ts';
import type { TableResult } from './table.ts';

/** One table: equal, or how many rows differ and which. */
export function tableLines(result: TableResult): string[] {
  const count = (rows: number) => rows.toLocaleString('en');
  if (result.problem !== undefined) return [`${result.table}: ${result.problem}`];
  if (result.equal) return [`${result.table}: equal, ${count(result.sourceRows)} rows`];
  const atLeast = result.complete ? '' : 'at least ';
  return [
    `${result.table}: DIFFERENT, ${atLeast}${count(result.differing)} rows ` +
      `(source ${count(result.sourceRows)}, target ${count(result.targetRows)} rows)`,
    ...result.differences.map(({ key, kind }) => `  ${key}  ${kind}`),
  ];
}

/** Sequences that differ, and the total. */
export function closingLines(result: CompareResult): string[] {
  const different = result.tables.filter((table) => !table.equal).length;
  return [
    ...result.differingSequences.map(
      ({ sequence, source, target }) =>
        `sequence ${sequence}: DIFFERENT, source ${source}, target ${target}`,
    ),
    result.equal
      ? `equal: ${result.tables.length} tables, ${result.sequences} sequences, ${result.seconds.toFixed(1)} s`
      : `different: ${different} of ${result.tables.length} tables, ` +
        `${result.differingSequences.length} of ${result.sequences} sequences, ${result.seconds.toFixed(1)} s`,
  ];
}
