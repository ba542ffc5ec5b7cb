/** Bytes of one message into text, strictly: a replication connection converts nothing, and a lenient decoder would put � in place. */
import { constants, isUtf8 } from 'node:buffer';
import { MigrationError } from '../../contract/failure.ts';
import type { Lsn } from '../../contract/lsn.ts';

/**
 * The text of a message, or the failure that stands in its place: bytes that are not UTF-8 (a database of another encoding), or
 * more of them than a JavaScript string holds (about 512 MB; a bytea arrives at twice its size).
 */
export function textOfLine(line: Buffer): string | LineFailure {
  if (!isUtf8(line)) {
    return new LineFailure(
      'is not UTF-8: the source database has another encoding, and its values cannot be told from each other safely',
    );
  }
  // Any character takes at least one byte and at most two units: only what is longer may fail.
  if (line.length <= constants.MAX_STRING_LENGTH) return line.toString('utf8');
  return new LineFailure(
    `has ${Math.round(line.length / 2 ** 20)} MiB, and one change may have ${Math.floor(constants.MAX_STRING_LENGTH / 2 ** 20)}: exclude the table, or keep such values out of it while the migration runs`,
  );
}

/** What is wrong with a message, without a word of it. */
export class LineFailure {
  readonly #reason: string;

  constructor(reason: string) {
    this.#reason = reason;
  }

  at(lsn: Lsn): MigrationError {
    return new MigrationError(
      'StreamMalformed',
      `a message of wal2json at ${lsn} ${this.#reason}`,
      {
        lsn,
      },
    );
  }
}
