/**
 * The first names of a list, and how many more there are: `a, b and 3 more`; with `; ` in between: `a; b; and 3 more`.
 * @param total of all, also of those that `names` does not hold.
 */
export function listed(
  names: readonly string[],
  most: number,
  separator: ', ' | '; ' = ', ',
  total = names.length,
): string {
  const left = total - Math.min(most, names.length);
  const more = left > 0 ? `${separator === '; ' ? ';' : ''} and ${left} more` : '';
  return names.slice(0, most).join(separator) + more;
}
