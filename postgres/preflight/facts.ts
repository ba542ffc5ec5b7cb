/**
 * What preflight knows: plain data, read from both sides before anything is judged. Checks are pure functions from these
 * facts to findings, so each can be tried without a server, and adding one means adding one function to checks.ts.
 *
 * A side that could not be reached (or not be read to the end) is null and has its failure in `failures` (or, behind a
 * pooler, the reason in `endpoints`); the other side is inspected all the same, so that an operator hears everything in one go.
 */
import type { NullableColumn } from '../schema/nullable-child.ts';
import type { GuardFacts } from './read/guard.ts';
import type { Finding } from '../../contract/finding.ts';
import type { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Migration } from '../../contract/migration.ts';
import type { ExtensionMember } from '../catalog/extension-member.ts';
import type { ExtensionFacts } from '../catalog/extension.ts';
import type { Relation } from '../catalog/relation.ts';
import type { KeyCollation, PartitionKey } from '../catalog/partition-key.ts';
import type { SchemaRights } from '../catalog/schema-right.ts';
import type { TableName } from '../catalog/selection.ts';
import type { Blocker } from '../slot/blockers.ts';
import type { EndpointFacts } from './read/endpoint.ts';
import type { OfferedExtension } from './read/extension.ts';
import type { UnenforcedConstraint } from './read/enforcement.ts';
import type { TextColumn } from './read/binary-form.ts';
import type { GeneratedReads } from './read/generated.ts';
import type { LeftFacts } from './read/left.ts';
import type { AgeFacts, SessionCounts, WalFacts } from './read/load.ts';
import type { LocaleFacts } from './read/locale.ts';
import type { NamedObject, ObjectFacts, TargetObjects } from './read/object.ts';
import type { ObjectNameColumn } from './read/object-name.ts';
import type { RehearsalFacts } from './rehearsal.ts';

export type Side = 'source' | 'target';

export interface Facts {
  readonly migration: Migration;
  readonly input: MigrationInput;
  readonly source: SourceFacts | null;
  readonly target: TargetFacts | null;
  /** What stands behind each service; null when it could not be reached. */
  readonly endpoints: Readonly<Record<Side, EndpointFacts | null>>;
  readonly failures: readonly { readonly side: Side; readonly failure: MigrationError }[];
  readonly programs: readonly ProgramFacts[];
  /** What became of the schema when it was tried on the target; null: not tried, because other findings say why it cannot be. */
  readonly rehearsal: RehearsalFacts | null;
}

export type Check = (facts: Facts) => Finding[];

/** Read in the same way on both sides. */
export interface ServerFacts {
  /** 15 for 15.18. */
  readonly major: number;
  readonly version: string;
  readonly database: string;
  readonly encoding: string;
  readonly locale: LocaleFacts;
  /** One value hashed by each function that partitions are chosen by. */
  readonly hashes: ReadonlyMap<string, string>;
  readonly inRecovery: boolean;
  /** Of `fsync` and `full_page_writes`, those that are off. */
  readonly notDurable: readonly string[];
  /** Equal only for one and the same database of one and the same running server. */
  readonly fingerprint: string;
  /** Whether the role may read the server's system identifier. */
  readonly recognizable: boolean;
  readonly role: {
    readonly name: string;
    readonly superuser: boolean;
    readonly replication: boolean;
    readonly bypassesRowSecurity: boolean;
  };
  readonly sessions: SessionCounts;
  readonly age: AgeFacts;
}

export interface SlotFacts {
  readonly name: string;
  /** Null for a physical slot. */
  readonly database: string | null;
  readonly active: boolean;
  readonly temporary: boolean;
  /** WAL that the server keeps for it. */
  readonly retainedBytes: number;
}

/** What became of the try to use wal2json. */
export interface PluginFacts {
  /**
   * `usable`: a temporary slot was made. `missing`: no such library. `refused`: the server's list does not allow it.
   * `denied`: the role may not make slots. `blocked`: it is there, but open transactions kept the try waiting.
   * `untried`: something else stands in the way (wal_level, no free slot), reported by its own check.
   */
  readonly state: 'usable' | 'missing' | 'refused' | 'denied' | 'blocked' | 'untried';
  /** Whether it takes `numeric-data-types-as-string` (from 2.6 on); null when that could not be tried. */
  readonly numericAsText: boolean | null;
  /** Options that the stream needs and this version does not take. */
  readonly refusedOptions: readonly string[];
  /** With `blocked`: who kept the try waiting, as far as the role can see. */
  readonly blockers: readonly Blocker[];
}

/** A table whose changes cannot be matched, and what the catalog offers to mend it. */
export interface IdentityRemedy {
  readonly oid: number;
  readonly hasPrimaryKey: boolean;
  readonly deferrablePrimaryKey: boolean;
  /** Quoted name of a unique index that would do. */
  readonly index: string | null;
}

export interface TableRight extends TableName {
  readonly selected: boolean;
}

export interface SourceFacts extends ServerFacts {
  readonly walLevel: string;
  /** Null on servers that do not know the setting, and for roles that may not see it (superuser, pg_read_all_settings). */
  readonly outputPluginLibraries: string | null;
  /** `synchronous_standby_names`. */
  readonly synchronousStandbys: string;
  /** `old_snapshot_threshold` (up to 16); null when snapshots may get as old as they like. */
  readonly snapshotSeconds: number | null;
  readonly slotsMax: number;
  readonly wal: WalFacts;
  readonly slots: readonly SlotFacts[];
  readonly sendersMax: number;
  readonly sendersUsed: number;
  readonly plugin: PluginFacts;
  /** Transactions with an id that are open now, prepared ones too, in whatever database of the server. */
  readonly transactions: readonly Blocker[];
  readonly relations: readonly Relation[];
  /** Patterns of the input that fit no table. */
  readonly idlePatterns: {
    readonly include: readonly string[];
    readonly exclude: readonly string[];
    /** Of `viaPartitionRoot`: those that name no partitioned table of the selection. */
    readonly viaPartitionRoot: readonly string[];
    /** Of `ignore`: those that name no selected table. */
    readonly ignore: readonly string[];
  };
  readonly remedies: readonly IdentityRemedy[];
  /** Tables that the role may not read; pg_dump locks the others, too. */
  readonly unreadable: readonly TableRight[];
  /** Selected tables of which the role would see only some rows. */
  readonly rowSecurity: readonly TableName[];
  /** Sequences that the role may not read. */
  readonly unreadableSequences: readonly TableName[];
  readonly schemas: readonly string[];
  readonly roles: NamedRoles;
  readonly schemaRights: readonly SchemaRights[];
  /** Constraints whose triggers are not enabled as usual. */
  readonly unenforced: readonly UnenforcedConstraint[];
  /** Whether it has a schema of our own name that we did not make: its tables are never moved. */
  readonly ownNameTaken: boolean;
  readonly objects: ObjectFacts;
  readonly extensions: readonly ExtensionFacts[];
  /** What belongs to the extensions. */
  readonly members: readonly ExtensionMember[];
  /** User mappings whose options the role may not see: `USER MAPPING for app on server far`. */
  readonly hiddenMappings: readonly string[];
  readonly left: LeftFacts;
  /** The system's collations that columns, domains and indexes use. */
  readonly collations: readonly string[];
  /** Columns that hold names of objects. */
  readonly objectNames: readonly ObjectNameColumn[];
  /** Of the selected partitioned tables, by which a server chooses partitions. */
  readonly partitionKeys: readonly PartitionKey[];
  /** Generated columns whose functions read tables. */
  readonly generatedReads: readonly GeneratedReads[];
  /** Of children of inheritance, where the parent's is NOT NULL; none from version 18 on. */
  readonly nullableColumns: readonly NullableColumn[];
  /** Columns that a binary copy cannot move; empty unless the input demands one. */
  readonly textColumns: readonly TextColumn[];
  /** Unset: the input has no guard. */
  readonly guard?: GuardFacts;
  /** What is created beside the tables. */
  readonly created: readonly NamedObject[];
}

/** Roles that the schema names; which of them matter depends on the input. */
export interface NamedRoles {
  /** Of everything but schemas. */
  readonly owners: readonly string[];
  /** Every schema with its owner; copySchema creates only those that the target lacks. */
  readonly schemas: readonly { readonly schema: string; readonly owner: string }[];
  readonly grantees: readonly string[];
  /** Named by row security policies, which are always moved. */
  readonly policies: readonly string[];
}

export interface TargetTable extends TableName {
  readonly kind: string;
  /** Null when it could not be looked at. */
  readonly hasRows: boolean | null;
  readonly owned: boolean;
  readonly writable: boolean;
  readonly rowSecurity: boolean;
  readonly isPartition: boolean;
  /** A root that partitions of the source go through: the operator made it, whoever makes the others. */
  readonly isRoot: boolean;
}

/** One of those roots, as far as it is on the target. */
export interface RootFacts {
  readonly relation: Relation;
  /** Of a partitioned table; null for others. */
  readonly partitions: number | null;
  /** Columns of its usable indexes, in order. */
  readonly indexes: readonly (readonly string[])[];
}

export interface RoleRight {
  readonly member: boolean;
  /** Whether our role has the rights of that one without SET ROLE, and may make it an owner. */
  readonly usable: boolean;
}

/** Whether walferry creates the tables: none is there but roots that the operator made. */
export function createsTables({ tables }: Pick<TargetFacts, 'tables'>): boolean {
  return tables.every(({ isRoot }) => isRoot);
}

export interface ControlFacts {
  /** `foreign`: a schema of that name that walferry did not make. `hidden`: the role may not read it. */
  readonly state: 'absent' | 'readable' | 'foreign' | 'hidden';
  readonly migrations: readonly { readonly id: string; readonly workflowId: string }[];
}

/** What became of the try to make an event trigger; made only when the source has some. */
export interface EventTriggerRight {
  /** Null: not tried. */
  readonly may: boolean | null;
  /** Owners on the source that cannot own one here: missing, or no superusers. */
  readonly refusedOwners: readonly string[];
}

export interface TargetFacts extends ServerFacts {
  readonly mayCreateSchemas: boolean;
  /** Existing schemas of the source's names in which the role may not create. */
  readonly closedSchemas: readonly string[];
  readonly mayReplicate: boolean;
  /** Those of the source's schemas that are there. */
  readonly schemas: readonly string[];
  readonly schemaRights: readonly SchemaRights[];
  readonly eventTriggers: EventTriggerRight;
  /** Those of the selected tables that are there. */
  readonly tables: readonly TargetTable[];
  readonly roots: readonly RootFacts[];
  /** The others, with their columns. */
  readonly given: readonly Relation[];
  /** Those of the tables and roots that are unlogged, or have an unlogged partition. */
  readonly unlogged: readonly TableName[];
  readonly control: ControlFacts;
  readonly objects: TargetObjects;
  /** The source's extensions, as the target has or offers them. */
  readonly extensions: readonly OfferedExtension[];
  /** What belongs to them here, or would. */
  readonly members: readonly ExtensionMember[];
  /** Of the collations that the source uses, those that the target lacks. */
  readonly missingCollations: readonly string[];
  /** Of the selected tables that are partitioned here. */
  readonly partitionKeys: readonly PartitionKey[];
  /** Of the collations in the source's partition keys, the versions here. */
  readonly collationVersions: readonly (KeyCollation & { readonly here: string | null })[];
  /** Of the relations that values of the source name, those that the target lacks. */
  readonly absentRelations: readonly TableName[];
  /** Objects that have the names of what would be created beside the tables. */
  readonly taken: readonly NamedObject[];
  /** Every role of the target, and whether our role may act for it. */
  readonly roles: ReadonlyMap<string, RoleRight>;
}

export interface ProgramFacts {
  readonly name: string;
  /** Null when the worker has none. */
  readonly major: number | null;
}
