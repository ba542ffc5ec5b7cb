/**
 * The facts of preflight: plain data, read from both sides before any check. Checks are pure functions from facts to findings, so
 * they can be tested without a server.
 *
 * A side that could not be read completely is null, and `failures` has the reason (or `endpoints`, behind a pooler). The other
 * side is still inspected, so that the operator gets all findings at once.
 */
import type { NullableColumn } from '../archive/nullable-child.ts';
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
  /** The server behind each service; null if unreachable. */
  readonly endpoints: Readonly<Record<Side, EndpointFacts | null>>;
  readonly failures: readonly { readonly side: Side; readonly failure: MigrationError }[];
  readonly programs: readonly ProgramFacts[];
  /** Result of trying the schema on the target; null: not tried, other findings explain why. */
  readonly rehearsal: RehearsalFacts | null;
}

export type Check = (facts: Facts) => Finding[];

/** Read from both sides alike. */
export interface ServerFacts {
  /** 15 for 15.18. */
  readonly major: number;
  readonly version: string;
  readonly database: string;
  readonly encoding: string;
  readonly locale: LocaleFacts;
  /** A sample value hashed by each function that chooses partitions. */
  readonly hashes: ReadonlyMap<string, string>;
  readonly inRecovery: boolean;
  /** Of `fsync` and `full_page_writes`, those that are off. */
  readonly notDurable: readonly string[];
  /** Equal only for the same database of the same running server. */
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
  /** WAL that the server retains for it. */
  readonly retainedBytes: number;
}

/** Result of the wal2json probe. */
export interface PluginFacts {
  /**
   * `usable`: a temporary slot was created. `missing`: no such library. `refused`: output_plugin_libraries does not allow it.
   * `denied`: the role may not create slots. `blocked`: it is installed, but open transactions blocked the probe.
   * `untried`: something else prevents the probe (wal_level, no free slot) and is reported by its own check.
   */
  readonly state: 'usable' | 'missing' | 'refused' | 'denied' | 'blocked' | 'untried';
  /** Whether it supports `numeric-data-types-as-string` (from 2.6 on); null if not tried. */
  readonly numericAsText: boolean | null;
  /** Options that the stream needs but this version lacks. */
  readonly refusedOptions: readonly string[];
  /** With `blocked`: the transactions that block it, as far as the role can see. */
  readonly blockers: readonly Blocker[];
}

/** A table without a usable replica identity, and what the catalog offers to fix it. */
export interface IdentityRemedy {
  readonly oid: number;
  readonly hasPrimaryKey: boolean;
  readonly deferrablePrimaryKey: boolean;
  /** Quoted name of a suitable unique index. */
  readonly index: string | null;
}

export interface TableRight extends TableName {
  readonly selected: boolean;
}

export interface SourceFacts extends ServerFacts {
  readonly walLevel: string;
  /** Null if the server lacks the setting, or the role may not see it (needs superuser or pg_read_all_settings). */
  readonly outputPluginLibraries: string | null;
  /** `synchronous_standby_names`. */
  readonly synchronousStandbys: string;
  /** `old_snapshot_threshold` (up to 16); null if unlimited. */
  readonly snapshotSeconds: number | null;
  readonly slotsMax: number;
  readonly wal: WalFacts;
  readonly slots: readonly SlotFacts[];
  readonly sendersMax: number;
  readonly sendersUsed: number;
  readonly plugin: PluginFacts;
  /** Open and prepared transactions with an id, in any database of the server. */
  readonly transactions: readonly Blocker[];
  readonly relations: readonly Relation[];
  /** Patterns of the input that match no table. */
  readonly idlePatterns: {
    readonly include: readonly string[];
    readonly exclude: readonly string[];
    /** Of `viaPartitionRoot`: those that name no partitioned table of the selection. */
    readonly viaPartitionRoot: readonly string[];
    /** Of `ignore`: those that name no selected table. */
    readonly ignore: readonly string[];
  };
  readonly remedies: readonly IdentityRemedy[];
  /** Tables that the role may not read; pg_dump also locks unselected ones. */
  readonly unreadable: readonly TableRight[];
  /** Selected tables with rows that policies hide from the role. */
  readonly rowSecurity: readonly TableName[];
  /** Sequences that the role may not read. */
  readonly unreadableSequences: readonly TableName[];
  readonly schemas: readonly string[];
  readonly roles: NamedRoles;
  readonly schemaRights: readonly SchemaRights[];
  /** Constraints with disabled triggers. */
  readonly unenforced: readonly UnenforcedConstraint[];
  /** Whether it has a schema "walferry" that walferry did not create; its tables are never moved. */
  readonly ownNameTaken: boolean;
  readonly objects: ObjectFacts;
  readonly extensions: readonly ExtensionFacts[];
  /** Members of the extensions. */
  readonly members: readonly ExtensionMember[];
  /** User mappings whose options the role may not read: `USER MAPPING for app on server far`. */
  readonly hiddenMappings: readonly string[];
  readonly left: LeftFacts;
  /** System collations that columns, domains and indexes use. */
  readonly collations: readonly string[];
  /** Columns that hold object names. */
  readonly objectNames: readonly ObjectNameColumn[];
  /** Of the selected partitioned tables. */
  readonly partitionKeys: readonly PartitionKey[];
  /** Generated columns whose functions read tables. */
  readonly generatedReads: readonly GeneratedReads[];
  /** Of inheritance children, where the parent's column is NOT NULL; none from version 18 on. */
  readonly nullableColumns: readonly NullableColumn[];
  /** Columns that a binary copy cannot move; empty unless the input requires one. */
  readonly textColumns: readonly TextColumn[];
  /** Unset: the input has no guard. */
  readonly guard?: GuardFacts;
  /** Objects that are created in addition to the tables. */
  readonly created: readonly NamedObject[];
}

/** Roles that the schema refers to; which of them matter depends on the input. */
export interface NamedRoles {
  /** Of all objects except schemas. */
  readonly owners: readonly string[];
  /** Every schema with its owner; copySchema creates only those missing on the target. */
  readonly schemas: readonly { readonly schema: string; readonly owner: string }[];
  readonly grantees: readonly string[];
  /** In row security policies, which are always moved. */
  readonly policies: readonly string[];
}

export interface TargetTable extends TableName {
  readonly kind: string;
  /** Null if not readable. */
  readonly hasRows: boolean | null;
  readonly owned: boolean;
  readonly writable: boolean;
  readonly rowSecurity: boolean;
  readonly isPartition: boolean;
  /** A root of `viaPartitionRoot`, which the operator always creates. */
  readonly isRoot: boolean;
}

/** A root of `viaPartitionRoot` that exists on the target. */
export interface RootFacts {
  readonly relation: Relation;
  /** Of a partitioned table; null for others. */
  readonly partitions: number | null;
  /** Columns of its usable indexes, in order. */
  readonly indexes: readonly (readonly string[])[];
}

export interface RoleRight {
  readonly member: boolean;
  /** Whether our role inherits its rights and may make it an owner. */
  readonly usable: boolean;
}

/** Whether walferry creates the tables: the target has none of them, except roots of `viaPartitionRoot`. */
export function createsTables({ tables }: Pick<TargetFacts, 'tables'>): boolean {
  return tables.every(({ isRoot }) => isRoot);
}

export interface ControlFacts {
  /** `foreign`: walferry did not create the schema. `hidden`: the role may not read it. */
  readonly state: 'absent' | 'readable' | 'foreign' | 'hidden';
  readonly migrations: readonly { readonly id: string; readonly workflowId: string }[];
}

/** Result of trying to create an event trigger; tried only if the source has some. */
export interface EventTriggerRight {
  /** Null: not tried. */
  readonly may: boolean | null;
  /** Owners on the source that cannot own one here: missing, or not superusers. */
  readonly refusedOwners: readonly string[];
}

export interface TargetFacts extends ServerFacts {
  readonly mayCreateSchemas: boolean;
  /** Existing schemas of the source's names in which the role may not create. */
  readonly closedSchemas: readonly string[];
  readonly mayReplicate: boolean;
  /** Schemas of the source that also exist here. */
  readonly schemas: readonly string[];
  readonly schemaRights: readonly SchemaRights[];
  readonly eventTriggers: EventTriggerRight;
  /** Selected tables that exist here. */
  readonly tables: readonly TargetTable[];
  readonly roots: readonly RootFacts[];
  /** Existing tables that are not roots, with their columns. */
  readonly given: readonly Relation[];
  /** Tables and roots that are unlogged or have an unlogged partition. */
  readonly unlogged: readonly TableName[];
  readonly control: ControlFacts;
  readonly objects: TargetObjects;
  /** The source's extensions, as installed or available here. */
  readonly extensions: readonly OfferedExtension[];
  /** Their members here, actual or after creation. */
  readonly members: readonly ExtensionMember[];
  /** Collations that the source uses and the target lacks. */
  readonly missingCollations: readonly string[];
  /** Of selected tables that are partitioned here. */
  readonly partitionKeys: readonly PartitionKey[];
  /** Collations of the source's partition keys, with their versions here. */
  readonly collationVersions: readonly (KeyCollation & { readonly here: string | null })[];
  /** Relations that values of the source name and the target lacks. */
  readonly absentRelations: readonly TableName[];
  /** Existing objects with names of objects to be created. */
  readonly taken: readonly NamedObject[];
  /** Every role of the target, and whether our role may act for it. */
  readonly roles: ReadonlyMap<string, RoleRight>;
}

export interface ProgramFacts {
  readonly name: string;
  /** Null if the worker lacks it. */
  readonly major: number | null;
}
