/** Which tables `--table` means. */

/** `schema.table` or `table` (any schema), with `*` and `?`; an empty list means every table. */
export function tableMatcher(
  patterns: readonly string[],
): (schema: string, table: string) => boolean {
  const expressions = patterns.map((pattern) => {
    const whole = pattern.includes('.') ? pattern : `*.${pattern}`;
    const source = whole
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.');
    return new RegExp(`^${source}$`, 's');
  });
  return (schema, table) =>
    expressions.length === 0 || expressions.some((e) => e.test(`${schema}.${table}`));
}
