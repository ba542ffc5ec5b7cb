/** An option that may be given several times. */

/** Collects its values, for an option with the default `[]`. */
export function repeated(value: string, before: readonly string[]): string[] {
  return [...before, value];
}
