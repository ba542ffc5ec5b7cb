/**
 * The ledger: what the application knows about its own transactions, in a file that only it writes.
 *
 * One JSON object per line. A transaction is written twice: `sent` with all its changes just before COMMIT is sent, and
 * `committed` just after COMMIT was answered. `sent` without an end (the writer was killed) and `unknown` (the answer
 * was lost with the connection) mean that either is right; `rolledback` means that none of its changes may be visible
 * anywhere. Lines are written synchronously: every answer that the application received survives its own SIGKILL.
 */
import { closeSync, createReadStream, openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import * as v from 'valibot';

const change = v.object({
  table: v.string(),
  key: v.string(),
  operation: v.picklist(['insert', 'update', 'delete']),
  /** Number of the change, as text: a bigint of the source. */
  revision: v.string(),
  /** Hash of the row's content after the change; null for a delete. */
  hash: v.nullable(v.string()),
});
export type LedgerChange = v.InferOutput<typeof change>;

const line = v.object({
  serial: v.string(),
  outcome: v.picklist(['sent', 'committed', 'rolledback', 'unknown']),
  changes: v.optional(v.array(change)),
});
export type LedgerLine = v.InferOutput<typeof line>;

export type Outcome = Exclude<LedgerLine['outcome'], 'sent'>;

export class Ledger implements Disposable {
  readonly #file: number;
  /** Serials of two runs that append to the same file must differ. */
  readonly #run = Date.now().toString(36);
  #transactions = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  /** Records what is about to be committed, and returns the transaction's serial. */
  sent(changes: readonly LedgerChange[]): string {
    this.#transactions += 1;
    const serial = `${this.#run}-${this.#transactions}`;
    this.#write({ serial, outcome: 'sent', changes: [...changes] });
    return serial;
  }

  ended(serial: string, outcome: Outcome): void {
    this.#write({ serial, outcome });
  }

  /** Changes that were rolled back on purpose, or by an error. */
  rolledBack(changes: readonly LedgerChange[]): void {
    if (changes.length > 0) this.ended(this.sent(changes), 'rolledback');
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #write(entry: LedgerLine): void {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`);
  }
}

/**
 * The lines of a ledger. An incomplete last line, left by a writer that was killed, is ignored: nothing was sent before
 * its line was complete.
 * @throws Error naming the line that is no ledger line.
 */
export async function* readLedger(path: string): AsyncGenerator<LedgerLine> {
  let number = 0;
  let broken: number | undefined;
  for await (const text of createInterface({ input: createReadStream(path, 'utf8') })) {
    number += 1;
    if (broken !== undefined) throw new Error(`${path}, line ${broken}: not a line of a ledger`);
    const parsed = v.safeParse(line, jsonOrUndefined(text));
    if (parsed.success) yield parsed.output;
    else broken = number;
  }
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
