/** Texts by names that a database gave: of columns, of schemas. */
import * as v from 'valibot';

export type NamedTexts = Readonly<Record<string, string>>;

/** Unlike `v.record`, which leaves out `__proto__`, `prototype` and `constructor`: columns and schemas may have these names. */
export const namedTexts = v.custom<NamedTexts>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === 'string'),
);
