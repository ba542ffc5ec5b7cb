/** Compares the facts of both sides. Pure. */
import type { Difference } from '../../contract/definition.ts';
import { tagKey } from './pending.ts';
import { enumLabelsToAdd } from './enum-label.ts';
import { keyOfFact, type Fact } from './fact.ts';
import { isWrong, type Sided } from './harm.ts';

export interface Sides {
  readonly source: readonly Fact[];
  readonly target: readonly Fact[];
  /** Schema and tag of what walferry created: only of these an object that the target alone has is reported. */
  readonly created: (schema: string | null, tag: string) => boolean;
  /** Facts (`keyOfFact`) that the two versions print in words of their own. */
  readonly unprinted?: ReadonlySet<string>;
  /** The source is the new database, and the target the old one, on which the application has run before. */
  readonly back?: boolean;
}

/** Both sides' facts, ordered by object. */
export function differencesOf({
  source,
  target,
  created,
  unprinted,
  back = false,
}: Sides): Difference[] {
  const here = byKey(source);
  const there = byKey(target);
  const onlyHere = alone(source, there);
  const onlyThere = alone(target, here);
  const objects = new Set(source.map(({ object }) => object));
  const known = new Set(target.map(({ object }) => object));
  const found: Difference[] = [];
  for (const fact of source) {
    if (belongsTo(fact, onlyHere) || belongsTo(fact, onlyThere)) continue;
    const other = there.get(keyOfFact(fact));
    // Said with the constraint.
    if (other === undefined && fact.what.startsWith('state of ')) continue;
    // A column's sequence of another name: its options are compared with the column.
    if (
      other === undefined &&
      fact.object.startsWith('sequence ') &&
      !known.has(fact.object) &&
      fact.what !== ''
    )
      continue;
    // A schema that existed on the new database before keeps its own rights.
    if (back && other === undefined && fact.what !== '' && fact.object.startsWith('schema '))
      continue;
    if (other ? isAlike(fact, other, back) : !fact.moved) continue;
    const one = other ? changed(fact, other, source, back) : missing(fact, source);
    found.push(
      unprinted?.has(keyOfFact(fact))
        ? {
            object: one.object,
            what: 'is printed differently by the two versions',
            notCompared: true,
          }
        : one,
    );
  }
  for (const fact of target) {
    if (here.has(keyOfFact(fact)) || belongsTo(fact, onlyHere) || belongsTo(fact, onlyThere))
      continue;
    // Parts and properties of what is compared, and whole objects that walferry created.
    if (fact.what.startsWith('state of ')) continue;
    // What pg_dump did not carry to the new database: an index that is not valid, a partition's part of a trigger.
    if (back && !fact.moved) continue;
    // A schema that existed before keeps its own rights.
    if (fact.what !== '' && fact.object.startsWith('schema ')) continue;
    const isWhole = fact.what === '' && fact.relation === null;
    if (isWhole ? !created(fact.schema, fact.tag) : !objects.has(fact.relation ?? fact.object))
      continue;
    found.push(surplus(fact));
  }
  return found.sort(byObject);
}

/** A newer version of an extension is the new server's own. */
function isAlike(fact: Fact, other: Fact, back: boolean): boolean {
  if (fact.what !== 'version' || !fact.object.startsWith('extension '))
    return fact.text === other.text;
  const [old, fresh] = back ? [other.text, fact.text] : [fact.text, other.text];
  return old.localeCompare(fresh, 'en', { numeric: true }) <= 0;
}

export function byObject(a: Difference, b: Difference): number {
  return order(a.object, b.object) || order(a.what, b.what);
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function byKey(facts: readonly Fact[]): Map<string, Fact> {
  return new Map(facts.map((fact) => [keyOfFact(fact), fact]));
}

/** Objects that the other side lacks: nothing more is said about them. */
function alone(facts: readonly Fact[], other: ReadonlyMap<string, Fact>): Set<string> {
  return new Set(
    facts
      .filter((fact) => fact.what === '' && !other.has(keyOfFact(fact)))
      .map(({ object }) => object),
  );
}

/** Whether the fact is about something that is missing as a whole. */
function belongsTo({ object, relation, under, what }: Fact, missing: ReadonlySet<string>): boolean {
  return (
    (what !== '' && missing.has(object)) ||
    (relation !== null && missing.has(relation)) ||
    (under !== null && missing.has(under))
  );
}

function missing(fact: Fact, source: readonly Fact[]): Difference {
  const judged = { fact, sided: 'source only' } as const;
  if (fact.what !== '') return named(judged, `has its ${fact.what} on the source only`, fact.make);
  const parts = partsOf(fact, source);
  // A table is not put together from its columns: only views have a definition.
  const isTable = fact.isRelation && !parts.some(({ what }) => what === 'definition');
  const run = isTable ? [] : [fact, ...parts];
  return named(judged, 'is on the source only', statements(run.map(({ make }) => make)));
}

/** What is said about the object and belongs to it: with it, it comes again. */
function partsOf({ object, isRelation }: Fact, source: readonly Fact[]): Fact[] {
  return source.filter(
    (one) =>
      ((one.object === object && one.what !== '') ||
        (isRelation && one.relation === object) ||
        one.under === object) &&
      // A new index is valid, a new trigger enabled.
      !(one.what === 'state' && (one.text === 'valid' || one.text === 'enabled')),
  );
}

function surplus(fact: Fact): Difference {
  const what =
    fact.what === '' ? 'is on the target only' : `has its ${fact.what} on the target only`;
  return named({ fact, sided: 'target only' }, what, fact.remove);
}

function changed(fact: Fact, other: Fact, source: readonly Fact[], back: boolean): Difference {
  const judged = { fact, sided: 'both', other, back } as const;
  if (fact.what === 'state') {
    return named(judged, `is ${fact.text} on the source, ${other.text} on the target`, fact.make);
  }
  if (fact.what === 'enforcement') {
    return named(
      judged,
      `is ${enforced(fact.text)} on the source, ${enforced(other.text)} on the target`,
      null,
    );
  }
  if (fact.what === 'labels') {
    return named(judged, 'differs in its labels', enumLabelsToAdd(fact, other));
  }
  const what = fact.what === '' ? 'differs' : `differs in its ${fact.what}`;
  if (fact.make === null) return named(judged, what, null);
  const replaces = /^create or replace/i.test(fact.make);
  // A view that is replaced loses its options, an object that is created again all that was said about it.
  const again = partsOf(fact, source).filter(({ object }) =>
    replaces ? object.includes(': storage parameter ') : fact.what === '',
  );
  const run = [replaces ? null : other.remove, fact.make, ...again.map(({ make }) => make)];
  return named(judged, what, statements(run));
}

/** @param state several letters if the triggers of a constraint have different states. */
function enforced(state: string): string {
  return (
    { O: 'enabled', A: 'enabled always', R: 'enabled for replicas', D: 'disabled' }[state] ??
    'partly disabled'
  );
}

function statements(all: readonly (string | null)[]): string | null {
  const some = all.filter((one) => one !== null && one !== '');
  return some.length === 0 ? null : some.join('; ');
}

interface Judged {
  readonly fact: Fact;
  readonly sided: Sided;
  /** The target's, where both sides have it. */
  readonly other?: Fact;
  readonly back?: boolean;
}

function named(
  { fact, sided, other, back = false }: Judged,
  what: string,
  run: string | null,
): Difference {
  return {
    ...{ object: fact.object, what },
    ...(isWrong(fact, sided, other, back) ? { wrong: true as const } : {}),
    ...(run === null ? {} : { run: run.endsWith(';') ? run : `${run};` }),
  };
}

/** Whether walferry created an object of that name. @param entries schema and tag of pg_dump's entries. */
export function createdAmong(
  entries: readonly { readonly schema: string | null; readonly name: string }[],
): Sides['created'] {
  // Functions are listed with their arguments, quoted where necessary.
  const known = new Set(
    entries.flatMap(({ schema, name }) => [
      tagKey(schema, name),
      tagKey(
        schema,
        name
          .replace(/\(.*$/s, '')
          .replace(/^"(.*)"$/s, '$1')
          .replaceAll('""', '"'),
      ),
    ]),
  );
  return (schema, tag) => known.has(tagKey(schema, tag));
}
