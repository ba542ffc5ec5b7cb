/** Rates over the latest seconds, and the time that is left at such a rate (the ETA). */

/** Rates are those of the last seconds: long enough to be steady, short enough to show a kill. */
const WINDOW_MS = 8_000;

export class RateWindow<Point extends { readonly at: number }> {
  readonly #points: Point[] = [];

  add(point: Point): void {
    this.#points.push(point);
    // The last point from before the window stays: after a gap in the samples there would be no rate at all.
    while ((this.#points[1]?.at ?? Infinity) <= point.at - WINDOW_MS) this.#points.shift();
  }

  /** Per second; 0 while there are no two points. */
  rate(of: (point: Point) => number): number {
    const first = this.#points[0];
    const last = this.#points.at(-1);
    if (first === undefined || last === undefined || last.at <= first.at) return 0;
    return ((of(last) - of(first)) * 1000) / (last.at - first.at);
  }

  /** Seconds until the fraction is 1; undefined while it does not grow. */
  eta(fraction: (point: Point) => number): number | undefined {
    const perSecond = this.rate(fraction);
    const last = this.#points.at(-1);
    return last && perSecond > 0 ? (1 - fraction(last)) / perSecond : undefined;
  }
}
