/** The result of a measurement: a table of named columns, one row per case, as text, JSON and chart. */

/** A cell; undefined where nothing was measured. */
export type Cell = string | number | undefined;

export interface Row {
  readonly name: string;
  readonly cells: Readonly<Record<string, Cell>>;
}

export interface Report {
  /** `drain`, `copy`, … */
  readonly name: string;
  readonly title: string;
  /** How it was measured and the settings of each contender, one sentence each. */
  readonly notes: readonly string[];
  readonly rows: readonly Row[];
  /** Another view of the same numbers. */
  readonly more?: readonly Table[];
  readonly chart: Chart;
}

export interface Table {
  readonly title: string;
  readonly rows: readonly Row[];
}

export interface Chart {
  /** Of the axis. */
  readonly unit: string;
  /** Shown side by side. */
  readonly columns: readonly string[];
  /** Names of the rows that it shows; all of them by default. */
  readonly rows?: readonly string[];
}

/** The middle value; for an even number the mean of the two middle ones. @throws RangeError for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (upper === undefined || lower === undefined) throw new RangeError('no values');
  return (upper + lower) / 2;
}

/** Like {@link median}; undefined for none, for contenders that did not run. */
export function medianOf(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : median(known);
}

/** The median of the ratios of each round: so that both contenders had the same conditions. */
export function medianRatio(
  over: readonly (number | undefined)[],
  under: readonly (number | undefined)[],
): number | undefined {
  return medianOf(
    over.map((value, round) => {
      const other = under[round];
      return value === undefined || other === undefined ? undefined : value / other;
    }),
  );
}
