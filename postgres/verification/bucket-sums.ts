/** Sums of one table's rows by bucket, added up over the statements of a piece. */
import type { TableSums } from '../store/verification-piece.ts';

export interface BucketRow {
  readonly bucket: number;
  readonly rows: string;
  readonly low: string;
  readonly high: string;
}

export class BucketSums {
  readonly #sums = new Map<number, { rows: bigint; low: bigint; high: bigint }>();
  #rows = 0;

  /** Rows so far. */
  get rows(): number {
    return this.#rows;
  }

  add(found: readonly BucketRow[]): void {
    for (const { bucket, rows, low, high } of found) {
      const sum = this.#sums.get(bucket) ?? { rows: 0n, low: 0n, high: 0n };
      sum.rows += BigInt(rows);
      sum.low += BigInt(low);
      sum.high += BigInt(high);
      this.#sums.set(bucket, sum);
      this.#rows += Number(rows);
    }
  }

  of(table: number): TableSums {
    const sums = [...this.#sums.values()];
    return {
      table,
      buckets: [...this.#sums.keys()],
      rows: sums.map(({ rows }) => rows),
      low: sums.map(({ low }) => low),
      high: sums.map(({ high }) => high),
    };
  }
}
