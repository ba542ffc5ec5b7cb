/**
 * Changes that may have arrived under a wrong name because a schema was renamed for a time. The catalog rows of a table do not
 * show a rename of its schema (catalog/table-definition.ts shows the table's own names), and every GRANT also writes the schema's
 * row. So a written schema row is only the reason to read a part of the stream without omitting any schema. What counts is a
 * change in that part that came before the row was last written, under a name that the schemas may have exchanged:
 *
 *   under a name whose schema is gone or was also written      the planned table with that table name is resynced
 *   under the table's own name, while another schema that is   the table is resynced: the change may be from the other one
 *   gone or was written had or has such a table
 *
 * Two schemas whose owner or privileges changed were written for that reason and are not suspected.
 */
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import { widenXid } from '../catalog/visibility.ts';
import type { SchemaRows } from '../catalog/schema-row.ts';
import type { TableName } from '../catalog/selection.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';

/** Where a change is in the stream. */
export interface Place {
  /** Of the change itself; null if unknown. */
  readonly lsn: Lsn | null;
  readonly xid: number;
  readonly commitLsn: Lsn;
}

export interface Suspect<Table> extends Omit<Place, 'lsn'> {
  readonly table: Table;
  readonly why: string;
}

export class Doubt<Table extends TableName = TableName> {
  readonly #before: SchemaRows;
  readonly #now: SchemaRows;
  /** Schemas of planned tables whose catalog rows were written since `before`. */
  readonly schemas: ReadonlySet<string>;
  readonly #tables = new Map<string, Table[]>();
  readonly #suspects = new Map<string, Suspect<Table>>();
  #rivals: ReadonlySet<string> = new Set();
  readonly #writers = new Map<number, string[]>();
  readonly #writtenAt = new Map<string, Lsn>();
  #end: bigint | null = null;

  /** @param before null when no rows were recorded: then nothing is suspected. */
  constructor(before: SchemaRows | null, now: SchemaRows, tables: readonly Table[]) {
    this.#before = before ?? now;
    this.#now = now;
    const schemas = new Set(tables.map(({ schema }) => schema));
    this.schemas = new Set([...schemas].filter((one) => this.#isWritten(one)));
    for (const table of tables) {
      if (!this.schemas.has(table.schema)) continue;
      this.#tables.set(table.name, [...(this.#tables.get(table.name) ?? []), table]);
    }
    for (const name of this.any ? this.#written() : []) {
      const xid = Number(now.get(name)?.version.split(' ')[1]);
      this.#writers.set(xid, [...(this.#writers.get(xid) ?? []), name]);
    }
  }

  get any(): boolean {
    return this.schemas.size > 0;
  }

  /** Tables to search for on the source, for {@link rivals}. */
  get wanted(): { readonly schemas: readonly string[]; readonly names: readonly string[] } {
    return { schemas: this.#written(), names: [...this.#tables.keys()] };
  }

  /** Takes those of {@link wanted} that exist. */
  rivals(tables: readonly TableName[]): void {
    this.#rivals = new Set(tables.map(keyOfName));
  }

  /**
   * Transactions from this id on carry the right names: they began to write when the rows had been read. Not those that only
   * commit later: a change keeps the name that its schema had when it was written.
   */
  until(xid: bigint): void {
    this.#end = xid;
  }

  /** Whether the plugin may omit this name: its changes cannot belong to a table whose schema is suspected. */
  mayLeave(as: TableName): boolean {
    return !this.#tables.has(as.name) || !this.#isWritten(as.schema);
  }

  /** A transaction (32-bit id) committed at this position; it may be one that wrote a schema's row. */
  committed(xid: number, lsn: Lsn): void {
    for (const schema of this.#writers.get(xid) ?? []) this.#writtenAt.set(schema, lsn);
  }

  /** A change arrived under this name. */
  met(as: TableName, place: Place): void {
    const tables = this.#tables.get(as.name);
    if (!tables || (this.#end !== null && widenXid(place.xid, this.#end) >= this.#end)) return;
    for (const table of tables) {
      if (table.schema !== as.schema) {
        if (!this.#mayBe(table.schema, as.schema, place.lsn)) continue;
        this.#suspect(table, `${nameOf(table)} may have had changes as ${nameOf(as)}`, place);
      } else if (this.#others(table).some((one) => this.#mayBe(as.schema, one, place.lsn))) {
        this.#suspect(
          table,
          `another table may have had changes as ${nameOf(table)}, while its schema had another name`,
          place,
        );
      }
    }
  }

  /** @param copied whether the table's copy includes the transaction. */
  suspects(copied: (table: Table, xid: number, lsn: Lsn) => boolean): Suspect<Table>[] {
    return [...this.#suspects.values()].filter(
      ({ table, xid, commitLsn }) => !copied(table, xid, commitLsn),
    );
  }

  #suspect(table: Table, why: string, { xid, commitLsn }: Place): void {
    this.#suspects.set(JSON.stringify([table.schema, table.name, xid]), {
      ...{ table, why, xid, commitLsn },
    });
  }

  /** Schemas that are gone and had a table with this name, and written ones that have one. */
  #others({ name }: TableName): string[] {
    const gone = [...this.#before].filter(
      ([one, { tables }]) => !this.#now.has(one) && (tables === null || tables.includes(name)),
    );
    return [
      ...gone.map(([one]) => one),
      ...this.#written().filter((schema) => this.#rivals.has(keyOfName({ schema, name }))),
    ];
  }

  #mayBe(one: string, other: string, lsn: Lsn | null): boolean {
    if (one === other || !this.#isWritten(other)) return false;
    if (this.#hasOtherRights(one) && this.#hasOtherRights(other)) return false;
    return [one, other].every((schema) => {
      const at = this.#writtenAt.get(schema);
      return at === undefined || lsn === null || compareLsn(lsn, at) < 0;
    });
  }

  #written(): string[] {
    return [...this.#now.keys()].filter((one) => this.#isWritten(one));
  }

  /** A name that no schema has now may have belonged to any schema. */
  #isWritten(schema: string): boolean {
    const now = this.#now.get(schema);
    return now === undefined || this.#before.get(schema)?.version !== now.version;
  }

  #hasOtherRights(schema: string): boolean {
    const [before, now] = [this.#before.get(schema), this.#now.get(schema)];
    return before !== undefined && now !== undefined && before.rights !== now.rights;
  }
}
