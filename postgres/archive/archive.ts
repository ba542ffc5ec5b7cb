/**
 * A pg_dump archive as data: the output of `pg_restore -l`, joined with the SQL that `pg_restore --verbose -f -` writes.
 * Pure. The verbose script marks every statement with its number in the archive's table of contents; that number and
 * the object's oid identify entries. Names are used only in messages: a list line joins kind, schema, name and owner with
 * spaces, and all of them may contain spaces, semicolons and text that looks like a line.
 */

/** When pg_restore would run an entry: before the rows, after them, or neither (nothing that a schema dump needs). */
export type Section = 'pre' | 'post' | 'other';

export interface ArchiveEntry {
  /** Number in the archive's table of contents. */
  readonly id: number;
  /** Oid of the catalog that holds the object on the source (1259 is pg_class), 0 for parts of objects. */
  readonly classOid: number;
  /** Oid of the object on the source as text, `0` for parts of objects. */
  readonly oid: string;
  /** pg_dump's name for the kind of object: `TABLE`, `FK CONSTRAINT`, `COMMENT`, … */
  readonly kind: string;
  readonly schema: string | null;
  /** pg_dump's tag; for parts of a table the table's name, a space and the part's name. */
  readonly name: string;
  readonly section: Section;
  /** Entries that must exist before this one. May include numbers that the archive does not list. */
  readonly dependencies: readonly number[];
  /** One or more statements; empty for entries that only set an owner that was not requested. */
  readonly sql: string;
}

/** Output of `pg_restore -l`, whole and for one section each. */
export interface ArchiveListing {
  readonly all: string;
  readonly pre: string;
  readonly post: string;
}

interface Listed {
  readonly classOid: number;
  readonly oid: string;
  /** `KIND schema name owner`, ambiguous on its own. */
  readonly rest: string;
}

const LIST_LINE = /^(\d+); (\d+) (\d+) (.*)$/;

/** The comment block above every entry; the lines between name and end differ between versions of pg_restore. */
const HEADER =
  /^--\n-- TOC entry (\d+) \(class (\d+) OID (\d+)\)\n(?:-- Dependencies:([ \d]*)\n)?-- (Name: [^\n]*)\n(?:-- [^\n]*\n)*--\n/gm;

const END = '--\n-- PostgreSQL database dump complete\n--';

/**
 * The entries in script order, which is the order to run them in (grants come last).
 * @throws Error when script and list do not describe the same archive: then nothing may be run.
 */
export function parseArchive(listing: ArchiveListing, script: string): ArchiveEntry[] {
  const listed = parseList(listing.all);
  const pre = parseList(listing.pre);
  const post = parseList(listing.post);
  const end = script.lastIndexOf(END);
  if (end < 0) throw new Error("the archive's script has no end");
  // Without the date line, which would otherwise become part of the last entry's statement.
  const body = script.slice(0, end).replace(/\n-- Completed on [^\n]*\n\s*$/, '\n');

  const headers = acceptedHeaders(body, listed);
  const found = new Set(headers.map((header) => header.id));
  for (const id of listed.keys()) {
    if (!found.has(id)) throw new Error(`entry ${id} of the archive is not in its script`);
  }
  return headers.map((header, index): ArchiveEntry => {
    const until = headers[index + 1]?.start ?? body.length;
    return {
      id: header.id,
      classOid: header.listed.classOid,
      oid: header.listed.oid,
      ...header.names,
      section: pre.has(header.id) ? 'pre' : post.has(header.id) ? 'post' : 'other',
      dependencies: header.dependencies,
      sql: body.slice(header.end, until).trim(),
    };
  });
}

function parseList(text: string): Map<number, Listed> {
  const listed = new Map<number, Listed>();
  for (const line of text.split('\n')) {
    const match = LIST_LINE.exec(line);
    if (match === null) continue;
    const [, id = '', classOid = '', oid = '', rest = ''] = match;
    listed.set(Number(id), { classOid: Number(classOid), oid, rest });
  }
  return listed;
}

interface Header {
  readonly id: number;
  readonly start: number;
  readonly end: number;
  readonly listed: Listed;
  readonly names: Names;
  readonly dependencies: number[];
}

/**
 * Headers that agree with the list, each number once. A function's body or a comment can contain text that looks like a
 * header; it is ignored unless all its parts agree. If one inside a body agrees in all parts, it cuts the statement within
 * its quotes, and the server refuses it: an error instead of a silently wrong result.
 */
function acceptedHeaders(body: string, listed: ReadonlyMap<number, Listed>): Header[] {
  const headers: Header[] = [];
  const seen = new Set<number>();
  for (const match of body.matchAll(HEADER)) {
    const [block, id = '', classOid = '', oid = '', dependencies = '', named = ''] = match;
    const entry = listed.get(Number(id));
    if (entry === undefined || seen.has(Number(id))) continue;
    if (entry.classOid !== Number(classOid) || entry.oid !== oid) continue;
    const names = parseNames(named, entry.rest);
    if (names === null) continue;
    seen.add(Number(id));
    headers.push({
      id: Number(id),
      start: match.index,
      end: match.index + block.length,
      listed: entry,
      names,
      dependencies: dependencies.split(' ').filter(Boolean).map(Number),
    });
  }
  return headers;
}

interface Names {
  readonly kind: string;
  readonly schema: string | null;
  readonly name: string;
}

/**
 * `Name: a; Type: b; Schema: c; Owner: d`, where a and c may contain any of these words. Of all possible readings, the one
 * that matches the list's line is right.
 */
function parseNames(named: string, rest: string): Names | null {
  const text = named.slice('Name: '.length);
  for (const type of positions(text, '; Type: ')) {
    for (const schema of positions(text, '; Schema: ')) {
      if (schema < type) continue;
      const kind = text.slice(type + '; Type: '.length, schema);
      const name = text.slice(0, type);
      for (const owner of positions(text, '; Owner: ')) {
        if (owner < schema) continue;
        const namespace = text.slice(schema + '; Schema: '.length, owner);
        if (`${rest} `.startsWith(`${kind} ${namespace} ${name} `)) {
          return { kind, schema: namespace === '-' ? null : namespace, name };
        }
      }
    }
  }
  return null;
}

function positions(text: string, part: string): number[] {
  const found: number[] = [];
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + 1)) found.push(at);
  return found;
}

/** An entry's name in messages: `TABLE app.orders`. */
export function describeEntry(entry: Pick<ArchiveEntry, 'kind' | 'schema' | 'name'>): string {
  return `${entry.kind} ${entry.schema === null ? '' : `${entry.schema}.`}${entry.name}`;
}
