/** The labels of an enum that the target lacks. Pure. */
import * as v from 'valibot';
import type { Fact } from './fact.ts';

const labels = v.pipe(v.string(), v.parseJson(), v.array(v.string()));

/**
 * Statements that add them at their places; null when the order differs or the target has more, which no statement changes.
 */
export function enumLabelsToAdd(
  source: Pick<Fact, 'object' | 'text'>,
  target: Pick<Fact, 'text'>,
): string | null {
  const [here, there] = [v.parse(labels, source.text), v.parse(labels, target.text)];
  const known = new Set(there);
  if (here.filter((label) => known.has(label)).join('\0') !== there.join('\0')) return null;
  const statements = here.flatMap((label, at) => {
    if (known.has(label)) return [];
    const before = here[at - 1];
    const next = here.slice(at + 1).find((one) => known.has(one));
    const place =
      before !== undefined
        ? ` after ${quote(before)}`
        : next === undefined
          ? ''
          : ` before ${quote(next)}`;
    return [`alter ${source.object} add value ${quote(label)}${place}`];
  });
  return statements.join('; ');
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
