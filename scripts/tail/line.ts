/** What `walferry tail` prints for one message: flat JSON with values as text, as on the wire. */
import type { Cell, WalMessage } from '../../postgres/wal2json/message.ts';

const ACTIONS = { I: 'insert', U: 'update', D: 'delete' } as const;

/**
 * Turns messages into lines, for one stream. A line belongs to its transaction: begin and commit are not printed, their
 * position and time are on every change.
 */
export class LineMaker {
  readonly #wanted: (schema: string, table: string) => boolean;
  #lsn: string | null = null;
  #at: string | null = null;

  constructor(wanted: (schema: string, table: string) => boolean) {
    this.#wanted = wanted;
  }

  /** The object to print, or undefined for a message that is not shown. */
  line(message: WalMessage): Record<string, unknown> | undefined {
    switch (message.action) {
      case 'B':
        this.#lsn = message.lsn;
        this.#at = message.timestamp;
        return undefined;
      case 'C':
        return undefined;
      case 'I':
      case 'U':
      case 'D': {
        if (!this.#wanted(message.schema, message.table)) return undefined;
        return {
          ...this.#head(message.xid),
          action: ACTIONS[message.action],
          table: `${message.schema}.${message.table}`,
          ...(message.action === 'I' ? {} : { key: values(message.identity) }),
          ...(message.action === 'D' ? {} : { values: values(message.columns) }),
        };
      }
      case 'T':
        if (!this.#wanted(message.schema, message.table)) return undefined;
        return {
          ...this.#head(message.xid),
          action: 'truncate',
          table: `${message.schema}.${message.table}`,
        };
      case 'M':
        return {
          ...(message.transactional ? this.#head(message.xid) : { lsn: message.lsn }),
          action: 'message',
          prefix: message.prefix,
          content: message.content,
        };
    }
  }

  #head(xid: number | null): Record<string, unknown> {
    return { lsn: this.#lsn, xid, at: this.#at };
  }
}

function values(cells: readonly Cell[]): Record<string, string | null> {
  // Object.fromEntries defines properties: a column named __proto__ is a column like any other.
  return Object.fromEntries(cells.map(({ name, value }) => [name, value]));
}
