/** The paths of all tables that the stream has met, by the name in a line. */
import { isUtf8 } from 'node:buffer';
import type { TableName } from '../catalog/selection.ts';
import type { Line } from '../replication/line-store.ts';
import { ByName, type HeadReader } from '../wal2json/head.ts';
import type { GatheringParts } from './gathering-parts.ts';
import { TablePath } from './table-path.ts';

export class TablePaths {
  readonly #byName = new ByName<TablePath>();

  /** The path of the line's table; null for a table that must be settled first. */
  of(
    line: Line,
    head: HeadReader,
    { mappings, numericAsText }: Pick<GatheringParts, 'mappings' | 'numericAsText'>,
  ): TablePath | null {
    const known = this.#byName.get(line.bytes, head);
    if (known !== undefined) return known;
    const bytes = line.bytes.subarray(head.nameFrom, head.nameTo);
    const name = isUtf8(bytes) ? namesOf(bytes.toString()) : null;
    if (name === null) return null;
    const mapping = mappings.get(name.schema, name.name);
    // An unknown table is settled at the commit; later changes find its mapping.
    if (mapping === undefined) return null;
    const path = new TablePath(name.schema, name.name, mapping, numericAsText);
    this.#byName.set(name.schema, name.name, path);
    return path;
  }

  /** The path of a table that was met before. */
  known(line: Line, head: HeadReader): TablePath | undefined {
    return this.#byName.get(line.bytes, head);
  }
}

/** Parses schema and table as a line has them: `public","table":"orders`. */
function namesOf(text: string): TableName | null {
  const [schema, name] = text.split('","table":"').map(nameOf);
  return schema == null || name == null ? null : { schema, name };
}

function nameOf(json: string): string | null {
  try {
    const name: unknown = JSON.parse(`"${json}"`);
    return typeof name === 'string' ? name : null;
  } catch {
    return null;
  }
}
