/**
 * Definitions that two major versions print differently: the source's text is given to the target, which prints it in its own words.
 * What it cannot print is reported as not compared. Everything is rolled back.
 */
import pg from 'pg';
import { rolledBack } from '../connection/in-transaction.ts';
import type { Session } from '../session/session.ts';
import { keyOfFact, type Both, type Fact } from './fact.ts';

interface Sides {
  readonly source: Session;
  readonly target: Session;
}

/** Texts that contain expressions or queries, by the beginning of a part's name or by property. */
const PRINTED =
  /(?:^|: )(?:default of|generated expression of|constraint|index|trigger|rule|policy|statistics) /;

/**
 * The facts with the source's expressions in the target's words, where the versions differ.
 * @returns also the objects that could not be printed.
 */
export async function reprinted(
  { source, target }: Sides,
  both: Both,
): Promise<Both & { readonly unprinted: ReadonlySet<string> }> {
  const none = { ...both, unprinted: new Set<string>() };
  if ((await majorOf(source)) === (await majorOf(target))) return none;
  const there = new Map(both.target.map((fact) => [keyOfFact(fact), fact]));
  const unprinted = new Set<string>();
  const printed: Fact[] = [];
  for (const fact of both.source) {
    const other = there.get(keyOfFact(fact));
    if (other === undefined || other.text === fact.text || !hasExpression(fact)) {
      printed.push(fact);
      continue;
    }
    const text = await printOn(target, fact, other);
    if (text === null) unprinted.add(keyOfFact(fact));
    printed.push(text === null ? fact : { ...fact, text });
  }
  return { source: printed, target: both.target, unprinted };
}

function hasExpression({ object, what, isRelation }: Fact): boolean {
  return isRelation
    ? what === 'definition' || what === 'partition key'
    : what === '' && PRINTED.test(object);
}

/**
 * The text as the target prints it; null if it is of a kind that is not given back, or names what the target lacks. Taken from what
 * the target stores of a view with the same query or expression.
 */
async function printOn(target: Session, fact: Fact, other: Fact): Promise<string | null> {
  const query = queryOf(fact);
  const own = queryOf(other);
  if (query === null || own === null) return null;
  try {
    const [theirs, ours] = [await printView(target, query), await printView(target, own)];
    // Both went the same way: equal texts mean equal trees.
    return theirs === ours ? other.text : fact.text;
  } catch (error) {
    if (error instanceof pg.DatabaseError) return null;
    throw error;
  }
}

/** A query that contains the fact's expression and nothing else; null for kinds without. */
function queryOf({ object, relation, text, what, make }: Fact): string | null {
  if (what === 'definition') return text;
  if (relation === null || make === null) return null;
  const table = /^(?:alter table )((?:"(?:[^"]|"")+"|[^\s".]+)\.(?:"(?:[^"]|"")+"|[^\s".]+)) /.exec(
    make,
  )?.[1];
  if (table === undefined) return null;
  if (object.includes(': default of ')) return `select ${text} as e from only ${table}`;
  const check = /^CHECK \((.*)\)(?: NO INHERIT)?(?: NOT ENFORCED)?$/s.exec(text)?.[1];
  return check === undefined ? null : `select ${check} as e from only ${table}`;
}

async function printView(target: Session, query: string): Promise<string> {
  return rolledBack(target, async () => {
    await target.query(`create temp view walferry_print as ${query}`);
    const { rows } = await target.query<{ text: string }>(
      `select pg_catalog.pg_get_viewdef('pg_temp.walferry_print'::pg_catalog.regclass) as text`,
    );
    return rows[0]?.text ?? '';
  });
}

async function majorOf(session: Session): Promise<number> {
  const { rows } = await session.query<{ major: number }>(
    `select pg_catalog.current_setting('server_version_num')::int / 10000 as major`,
  );
  return rows[0]?.major ?? 0;
}
