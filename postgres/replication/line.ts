/** Strict decoding of one message: a replication connection does not convert encodings, and a lenient decoder would insert �. */
import { constants, isUtf8 } from 'node:buffer';
import { MigrationError } from '../../contract/failure.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { TableName } from '../catalog/selection.ts';

/**
 * The text of a message, or the failure: bytes that are not UTF-8 (a database with another encoding), or more of them than a
 * JavaScript string holds (about 512 MB; a bytea arrives at twice its size).
 * @param most bytes; only tests set it.
 */
export function textOfLine(
  line: Buffer,
  most: number = constants.MAX_STRING_LENGTH,
): string | LineFailure {
  if (!isUtf8(line)) {
    return new LineFailure(
      'is not UTF-8: the source database has another encoding, so its values cannot be moved safely',
      subjectOf(line),
    );
  }
  // n bytes of UTF-8 are at most n UTF-16 units: only a longer line can exceed the limit.
  if (line.length <= most) return line.toString('utf8');
  return new LineFailure(
    `is ${Math.round(line.length / 2 ** 20)} MiB long, and the limit for one change is ${Math.floor(most / 2 ** 20)} MiB: exclude the table, or do not write such values while the migration runs`,
    subjectOf(line),
  );
}

/** What is wrong with a message, without any of its content. */
export class LineFailure {
  readonly #reason: string;
  /** The changed table, possibly one that is not moved; `message`: a logical message, no table change; null: unknown. */
  readonly subject: Subject;

  constructor(reason: string, subject: Subject = null) {
    this.#reason = reason;
    this.subject = subject;
  }

  at(lsn: Lsn): MigrationError {
    const table =
      this.subject === null || this.subject === 'message'
        ? null
        : `${this.subject.schema}.${this.subject.name}`;
    return new MigrationError(
      'StreamMalformed',
      `a message of wal2json at ${lsn}${table === null ? '' : `, a change of ${table},`} ${this.#reason}`,
      { lsn, ...(table === null ? {} : { table }) },
    );
  }
}

type Subject = TableName | 'message' | null;

/** Far more than an LSN, a timestamp and two names need. */
const HEAD_BYTES = 4096;

/** Reads the subject from the first fields of the message, which hold only names and numbers; row values come later. */
function subjectOf(line: Buffer): Subject {
  const head = line.subarray(0, HEAD_BYTES);
  if (head.subarray(0, 13).equals(Buffer.from('{"action":"M"'))) return 'message';
  const ends = [',"columns":[', ',"identity":['].map((key) => head.indexOf(key));
  const end = Math.min(...ends.filter((at) => at >= 0));
  if (!Number.isFinite(end) || !isUtf8(head.subarray(0, end))) return null;
  try {
    const fields: unknown = JSON.parse(`${head.toString('utf8', 0, end)}}`);
    if (typeof fields !== 'object' || fields === null) return null;
    if (!('schema' in fields) || !('table' in fields)) return null;
    const { schema, table: name } = fields;
    return typeof schema === 'string' && typeof name === 'string' ? { schema, name } : null;
  } catch {
    // An unknown format: the subject stays unknown.
    return null;
  }
}
