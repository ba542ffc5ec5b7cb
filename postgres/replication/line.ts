/** Bytes of one message into text, strictly: a replication connection converts nothing, and a lenient decoder would put � in place. */
import { constants, isUtf8 } from 'node:buffer';
import { MigrationError } from '../../contract/failure.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { TableName } from '../catalog/selection.ts';

/**
 * The text of a message, or the failure that stands in its place: bytes that are not UTF-8 (a database of another encoding), or
 * more of them than a JavaScript string holds (about 512 MB; a bytea arrives at twice its size).
 * @param most bytes; less than a string holds for tests only.
 */
export function textOfLine(
  line: Buffer,
  most: number = constants.MAX_STRING_LENGTH,
): string | LineFailure {
  if (!isUtf8(line)) {
    return new LineFailure(
      'is not UTF-8: the source database has another encoding, and its values cannot be told from each other safely',
      subjectOf(line),
    );
  }
  // Any character takes at least one byte and at most two units: only what is longer may fail.
  if (line.length <= most) return line.toString('utf8');
  return new LineFailure(
    `is ${Math.round(line.length / 2 ** 20)} MiB long, and the limit for one change is ${Math.floor(most / 2 ** 20)} MiB: exclude the table, or keep such values out of it while the migration runs`,
    subjectOf(line),
  );
}

/** What is wrong with a message, without a word of it. */
export class LineFailure {
  readonly #reason: string;
  /** The table whose change it is, which may be one that is not moved; `message`: no change of any table; null: unknown. */
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

/** Far more than a position, a time and two names take. */
const HEAD_BYTES = 4096;

/** Says what the message is about from its first fields, which hold nothing but names and numbers; the values come after them. */
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
    // Not the form that is known: then nothing is known of it.
    return null;
  }
}
