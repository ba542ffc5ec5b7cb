/**
 * Pipelines many statements, including COPY rows, and reads their answers together, by writing the extended protocol as bytes. A
 * batch of the stream then costs two round trips to the target, whatever it contains. To the `pg` client it is an ordinary query,
 * so the driver tracks the session's state and handles errors and notices.
 */
import type pg from 'pg';
import { FlightQuery } from './flight-query.ts';
import type { Kept, KeptStatement, ParseState } from './kept-statement.ts';

const CLOSE = 0x43;
const PARSE = 0x50;
const STATEMENT = 0x53;
const BIND = 0x42;
const EXECUTE = 0x45;
const SYNC = 0x53;
const COPY_DATA = 0x64;
const COPY_DONE = 0x63;

const FIRST_BYTES = 64 * 1024;
/** Larger buffers, grown for a large value, are not kept. */
const KEPT_BYTES = 4 * 1024 * 1024;
/** Frames of this size are the fastest for the server; smaller rows are combined, larger ones sent without copying. */
const FRAME_BYTES = 64 * 1024;
/** Below this size, copying bytes is cheaper than another write to the socket. */
const SMALL_BYTES = 2048;

export class Flight {
  readonly #kept: Kept;
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #at = 0;
  /** Bytes before this offset already belong to a piece. */
  #from = 0;
  #pieces: Buffer[] = [];
  #statements = 0;
  #frame = -1;
  /** Statements that this flight parses. */
  #parsing: KeptStatement[] = [];
  #joined: Flight | null = null;

  constructor(kept: Kept) {
    this.#kept = kept;
  }

  get statements(): number {
    return this.#statements;
  }

  /** Discards what was not sent. */
  clear(): void {
    // They are closed before they are parsed again: correct whether or not the server has them.
    this.#parsed('unsure');
    this.#pieces = [];
    this.#statements = 0;
    this.#frame = -1;
    this.#free();
  }

  /**
   * Continues with the contents of another flight, whose bytes must stay until this one is answered. The other may have been
   * written while an earlier flight was being sent, so both must not parse the same statement.
   */
  join(other: Flight): void {
    this.#cut();
    other.#cut();
    for (const piece of other.#pieces) this.#pieces.push(piece);
    for (const statement of other.#parsing) this.#parsing.push(statement);
    this.#statements += other.#statements;
    other.#pieces = [];
    other.#parsing = [];
    other.#statements = 0;
    this.#joined = other;
  }

  /** Adds a statement with text parameters. */
  run(sql: string, ...values: readonly (string | null)[]): void {
    let room = 0;
    for (const value of values) room += value === null ? 4 : Buffer.byteLength(value) + 4;
    const message = this.bind(sql, values.length, room);
    for (const value of values) {
      if (value === null) {
        this.#int32(-1);
        continue;
      }
      const length = this.#bytes.write(value, this.#at + 4, 'utf8');
      this.#int32(length);
      this.#at += length;
    }
    this.execute(message);
  }

  /**
   * Begins a statement whose parameters the caller writes: {@link parameter}, its bytes, {@link endParameter}; then {@link
   * execute}.
   * @param room upper bound for the bytes of all parameters, plus four for each.
   */
  bind(sql: string, parameters: number, room: number): number {
    const kept = this.#kept.of(sql);
    const name = kept?.name ?? '';
    const state = kept?.state ?? 'new';
    if (state !== 'parsed') {
      if (kept !== null) {
        // Parsed once this flight ends; later uses within it need no other Parse.
        kept.state = 'parsed';
        this.#parsing.push(kept);
      }
      this.#ensure(2 * name.length + Buffer.byteLength(sql) + 32);
      // It may exist: parsing it again under its name would fail, under another name it would be kept twice.
      if (state === 'unsure') {
        const close = this.#open(CLOSE);
        this.#bytes[this.#at++] = STATEMENT;
        this.#text(name);
        this.#close(close);
      }
      const parse = this.#open(PARSE);
      this.#text(name);
      this.#text(sql);
      this.#int16(0);
      this.#close(parse);
    }
    this.#ensure(room + name.length + 64);
    const message = this.#open(BIND);
    this.#text('');
    this.#text(name);
    // All parameters are text.
    this.#int16(0);
    this.#int16(parameters);
    return message;
  }

  /** The offset in {@link buffer} where the next parameter's bytes are written. */
  parameter(): number {
    this.#at += 4;
    return this.#at;
  }

  get buffer(): Buffer {
    return this.#bytes;
  }

  /** @param from what {@link parameter} returned. @param to offset after its last byte. */
  endParameter(from: number, to: number): void {
    this.#bytes.writeInt32BE(to - from, from - 4);
    this.#at = to;
  }

  /** @param message what {@link bind} returned. */
  execute(message: number): void {
    this.#int16(0);
    this.#close(message);
    const execute = this.#open(EXECUTE);
    this.#text('');
    this.#int32(0);
    this.#close(execute);
    this.#statements += 1;
  }

  /** Adds rows of a COPY that {@link run} began; the bytes must not change until the flight is answered. */
  copyData(bytes: Buffer, from: number, to: number): void {
    for (let at = from; at < to;) {
      const length = Math.min(FRAME_BYTES, to - at);
      if (length < SMALL_BYTES) this.#gather(bytes, at, at + length);
      else {
        this.#endFrame();
        this.#ensure(8);
        this.#bytes[this.#at++] = COPY_DATA;
        this.#int32(length + 4);
        this.#cut();
        this.#pieces.push(bytes.subarray(at, at + length));
      }
      at += length;
    }
  }

  copyDone(): void {
    this.#endFrame();
    this.#ensure(8);
    this.#close(this.#open(COPY_DONE));
  }

  /**
   * Sends everything and waits for all answers. Afterwards the session is idle, inside or outside its transaction.
   * @returns row counts of the statements, in order.
   * @throws FlightFailed with the server's error; statements after the failed one were not run.
   */
  async send(client: pg.Client): Promise<readonly number[]> {
    this.#ensure(8);
    this.#close(this.#open(SYNC));
    this.#cut();
    const query = new FlightQuery(this.#pieces);
    this.#pieces = [];
    this.#statements = 0;
    client.query(query);
    try {
      const counts = await query.answered;
      this.#parsed('parsed');
      return counts;
    } catch (error) {
      this.#parsed('unsure');
      throw error;
    } finally {
      // The server has read everything: the buffers are free again.
      this.#free();
      if (this.#joined !== null) this.#joined.#free();
      this.#joined = null;
    }
  }

  /** Records the state of the statements that this flight parses. */
  #parsed(state: ParseState): void {
    for (const statement of this.#parsing) statement.state = state;
    this.#parsing = [];
  }

  #free(): void {
    if (this.#bytes.length > KEPT_BYTES) this.#bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    this.#at = 0;
    this.#from = 0;
  }

  #gather(bytes: Buffer, from: number, to: number): void {
    const length = to - from;
    if (this.#frame >= 0 && this.#at - this.#frame + length > FRAME_BYTES) this.#endFrame();
    if (this.#frame < 0) {
      this.#ensure(FRAME_BYTES + SMALL_BYTES + 8);
      this.#frame = this.#open(COPY_DATA);
    }
    this.#at += bytes.copy(this.#bytes, this.#at, from, to);
  }

  #endFrame(): void {
    if (this.#frame >= 0) this.#close(this.#frame);
    this.#frame = -1;
  }

  #ensure(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    this.#cut();
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length, bytes));
    this.#at = 0;
    this.#from = 0;
  }

  #cut(): void {
    if (this.#at > this.#from) this.#pieces.push(this.#bytes.subarray(this.#from, this.#at));
    this.#from = this.#at;
  }

  #open(type: number): number {
    this.#bytes[this.#at++] = type;
    this.#at += 4;
    return this.#at - 4;
  }

  #close(length: number): void {
    this.#bytes.writeInt32BE(this.#at - length, length);
  }

  #text(text: string): void {
    this.#at += this.#bytes.write(text, this.#at, 'utf8');
    this.#bytes[this.#at++] = 0;
  }

  #int16(value: number): void {
    this.#at = this.#bytes.writeInt16BE(value, this.#at);
  }

  #int32(value: number): void {
    this.#at = this.#bytes.writeInt32BE(value, this.#at);
  }
}
