/** Reading and filtering a real pg_dump archive whose names and bodies look like the archive's own lines. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { describeEntry, parseArchive, type ArchiveEntry } from '../../postgres/archive/archive.ts';
import {
  filterArchive,
  type Choice,
  type FilteredArchive,
} from '../../postgres/archive/archive-filter.ts';

const read = (name: string) =>
  readFileSync(path.join(import.meta.dirname, 'archive-example', name), 'utf8');
const listing = { all: read('all.list'), pre: read('pre.list'), post: read('post.list') };
const script = read('script.sql');
const entries = parseArchive(listing, script);

const find = (text: string): ArchiveEntry => {
  const found = entries.filter((entry) => describeEntry(entry) === text);
  expect(found.map(describeEntry)).toEqual([text]);
  return found[0] ?? expect.fail(text);
};

describe('reading', () => {
  test('every entry of the list exists once, with its statement and nothing of its neighbours', () => {
    expect(entries).toHaveLength(listing.all.split('\n').filter((l) => /^\d/.test(l)).length);
    expect(new Set(entries.map(({ id }) => id)).size).toBe(entries.length);
    expect(find('TABLE Odd; Schema.customer').sql).toBe(
      'CREATE TABLE "Odd; Schema".customer (\n    id integer NOT NULL\n);',
    );
    expect(find('PUBLICATION TABLE public.pub customer').sql).toBe(
      'ALTER PUBLICATION pub ADD TABLE ONLY public.customer;',
    );
  });

  test('names with spaces, semicolons or the words of a header are parsed correctly', () => {
    const odd = 'x; Type: TABLE; Schema: y; Owner: z';
    expect(find(`TABLE Odd; Schema.${odd}`)).toMatchObject({
      kind: 'TABLE',
      schema: 'Odd; Schema',
      name: odd,
    });
    expect(find(`CONSTRAINT Odd; Schema.${odd} ${odd}_a_key`).schema).toBe('Odd; Schema');
    expect(find('INDEX Odd; Schema.b c').name).toBe('b c');
    expect(find('SCHEMA Odd; Schema').schema).toBeNull();
  });

  test('text in bodies and comments that looks like a header does not split a statement', () => {
    expect(find('FUNCTION public.fake()').sql).toMatch(/^CREATE FUNCTION[^]*return 1; end \$\$;$/);
    expect(find('COMMENT public.TABLE customer').sql).toMatch(/semi; colon';$/);
  });

  test('no statement contains psql commands or the end of the script', () => {
    for (const { sql } of entries) expect(sql).not.toMatch(/^\\|^-- Completed on|dump complete/m);
  });

  test('the sections are pg_restore’s own', () => {
    expect(find('DEFAULT Odd; Schema.ta b id').section).toBe('pre');
    expect(find('CHECK CONSTRAINT public.customer old_rows').section).toBe('post');
  });

  test('a truncated script, or one that lacks an entry, is refused as a whole', () => {
    expect(() => parseArchive(listing, script.slice(0, -200))).toThrow(/no end/);
    const without = script.replace(/^-- TOC entry 3383 .*$/m, '--');
    expect(() => parseArchive(listing, without)).toThrow(/entry 3383/);
  });

  test('a header for another object than the list has is refused', () => {
    const other = script.replace(
      '-- TOC entry 3383 (class 3381 OID',
      '-- TOC entry 3383 (class 3381 OID 9',
    );
    expect(() => parseArchive(listing, other)).toThrow(/entry 3383/);
  });
});

const NOTHING: Choice['ignore'] = { extensions: new Set(), eventTriggers: new Set(), members: [] };

/** Filters with all tables but those named `schema.table`. */
function without(...names: string[]): FilteredArchive {
  const selected = entries
    .filter(({ kind, schema, name }) => kind === 'TABLE' && !names.includes(`${schema}.${name}`))
    .filter(({ schema }) => schema !== 'walferry');
  return filterArchive(entries, {
    selected: new Set(selected.map(({ oid }) => oid)),
    excluded: (schema, name) => names.includes(`${schema}.${name}`),
    grants: true,
    ignore: NOTHING,
  });
}

const gone = (filtered: FilteredArchive) => {
  const kept = new Set(filtered.kept.map(describeEntry));
  return entries.map(describeEntry).filter((text) => !kept.has(text));
};

/** Never moved, whatever is selected. */
const ALWAYS = [
  'SCHEMA walferry',
  'COMMENT EXTENSION citext',
  'TABLE walferry.migration',
  'PUBLICATION pub',
  'PUBLICATION TABLE public.pub customer',
];

describe('filtering', () => {
  test('a selection of everything skips only publications, our own schema and extension comments', () => {
    expect(gone(without())).toEqual(ALWAYS);
    expect(without().uncreatable).toEqual([]);
  });

  test('a table includes all its parts and dependent objects, but not the table of the longer name', () => {
    const left = gone(without('public.customer')).filter((text) => !ALWAYS.includes(text));
    expect(left.sort()).toEqual(
      [
        'TABLE public.customer',
        'COMMENT public.TABLE customer',
        'ACL public.TABLE customer',
        'SEQUENCE public.customer_id_seq',
        'VIEW public.plain',
        'VIEW public.grouped',
        'RULE public.grouped _RETURN',
        'MATERIALIZED VIEW public.late',
        'INDEX public.late_i',
        'CONSTRAINT public.customer customer_mail_key',
        'CONSTRAINT public.customer customer_pkey',
        'CHECK CONSTRAINT public.customer old_rows',
        'STATISTICS public.st',
        'TRIGGER public.customer t',
        'FK CONSTRAINT Odd; Schema.ta b ta b_customer_fkey',
        'ROW SECURITY public.customer',
        'POLICY public.customer p',
      ].sort(),
    );
    expect(without('public.customer').leftOut).toContain(
      'FK CONSTRAINT Odd; Schema.ta b ta b_customer_fkey',
    );
  });

  test('a sequence that another table’s default needs stays, without its owner', () => {
    const left = gone(without('Odd; Schema.ta b'));
    expect(left).not.toContain('SEQUENCE Odd; Schema.ta b_id_seq');
    expect(left).toContain('SEQUENCE OWNED BY Odd; Schema.ta b_id_seq');
    expect(left).not.toContain('TABLE Odd; Schema.ta b c');
    expect(gone(without('Odd; Schema.ta b', 'public.shared'))).toContain(
      'SEQUENCE Odd; Schema.ta b_id_seq',
    );
  });

  test('a partition can be excluded, and one can be selected alone with its own indexes', () => {
    const withoutLeaf = gone(without('public.leaf_1'));
    expect(withoutLeaf).toContain('TABLE ATTACH public.leaf_1');
    expect(withoutLeaf).toContain('INDEX ATTACH public.leaf_1_v_idx');
    expect(withoutLeaf).not.toContain('INDEX public.root_v_idx');
    const alone = without('public.root', 'public.leaf_1');
    expect(alone.uncreatable).toEqual([]);
    expect(gone(alone)).not.toContain('CONSTRAINT public.leaf_2 leaf_2_pkey');
    expect(gone(alone)).not.toContain('INDEX public.leaf_2_v_idx');
    expect(gone(alone)).toContain('FK CONSTRAINT public.pointing pointing_at_fkey');
  });

  test('a table that inherits from an excluded one is refused with both names', () => {
    expect(without('public.parent').uncreatable).toEqual([
      'TABLE public.child needs TABLE public.parent, which is left out',
    ]);
  });

  test('a selected table that is not in the dump is refused', () => {
    const selected = new Set(['424242']);
    const filtered = filterArchive(entries, {
      ...{ selected, excluded: () => false },
      ...{ grants: true, ignore: NOTHING },
    });
    expect(filtered.uncreatable).toEqual(['the table with oid 424242 is not in the dump']);
  });

  test('an excluded view takes its dependent objects with it', () => {
    const left = gone(without('public.grouped'));
    expect(left).toContain('MATERIALIZED VIEW public.late');
    expect(left).toContain('RULE public.grouped _RETURN');
    expect(left).not.toContain('VIEW public.plain');
  });

  test('grants are skipped on request', () => {
    const selected = new Set(entries.filter(({ kind }) => kind === 'TABLE').map(({ oid }) => oid));
    const filtered = filterArchive(entries, {
      ...{ selected, excluded: () => false },
      ...{ grants: false, ignore: NOTHING },
    });
    expect(gone(filtered)).toContain('ACL public.TABLE customer');
  });
});

describe('phases', () => {
  const phase = (text: string) =>
    without().kept.find((entry) => describeEntry(entry) === text)?.phase;

  test('rows first, indexes over them, and what needs a consistent target last', () => {
    expect(phase('TABLE public.customer')).toBe('tables');
    expect(phase('ACL public.TABLE customer')).toBe('tables');
    expect(phase('TABLE ATTACH public.leaf_1')).toBe('tables');
    expect(phase('CONSTRAINT public.customer customer_pkey')).toBe('indexes');
    expect(phase('CHECK CONSTRAINT public.customer old_rows')).toBe('indexes');
    expect(phase('INDEX ATTACH public.leaf_1_pkey')).toBe('indexes');
    expect(phase('STATISTICS public.st')).toBe('indexes');
    expect(phase('FK CONSTRAINT public.pointing pointing_at_fkey')).toBe('constraints');
    expect(phase('TRIGGER public.customer t')).toBe('constraints');
    expect(phase('ROW SECURITY public.customer')).toBe('constraints');
    expect(phase('RULE public.grouped _RETURN')).toBe('constraints');
  });

  test('nothing runs in an earlier phase than what it depends on', () => {
    const order = ['tables', 'indexes', 'constraints'];
    const kept = without().kept;
    const phases = new Map(kept.map((entry) => [entry.id, order.indexOf(entry.phase)]));
    for (const entry of kept) {
      for (const id of entry.dependencies) {
        expect(phases.get(id) ?? 0).toBeLessThanOrEqual(order.indexOf(entry.phase));
      }
    }
  });
});
