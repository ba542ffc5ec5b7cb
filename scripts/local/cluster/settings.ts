/** Names and settings of the demonstration's servers; docker-compose.yml has the same ones (a test compares them). */

/** Service names, as in `psql service=source`. */
export const SIDES = ['source', 'target'] as const;
export type Side = (typeof SIDES)[number];

/** Role and database on both sides. */
export const ROLE = 'walferry';
export const DATABASE = 'app';

/** The oldest PostgreSQL that walferry is tested with. */
export const OLDEST_POSTGRES = 15;

export type ServerSettings = Readonly<Record<string, string>>;

/** Room for the workers' sessions: every stream of a copy needs one, and tests run many in parallel. */
const SESSIONS: ServerSettings = { max_connections: '200' };

/** Fewer checkpoints at a steady load; with the default of 1 GB a bulk copy forces one every few seconds. */
const BULK: ServerSettings = { max_wal_size: '4GB', shared_buffers: '256MB' };

/** What a slot needs. The target has it for the way back. */
const DECODED: ServerSettings = {
  wal_level: 'logical',
  max_replication_slots: '20',
  max_wal_senders: '20',
};

/** Settings of each side. Prepared transactions are allowed because a source may use them. */
export const SETTINGS: Readonly<Record<Side, ServerSettings>> = {
  source: { ...SESSIONS, ...BULK, ...DECODED, max_prepared_transactions: '20' },
  target: { ...SESSIONS, ...BULK, ...DECODED, max_prepared_transactions: '20' },
};

/**
 * Value of the setting `output_plugin_libraries`. Servers from 15.19, 17.11 and 18.6 on refuse wal2json without it, and
 * older ones do not start with it: it is set only where the server knows it.
 */
export const OUTPUT_PLUGIN_LIBRARIES = 'pgoutput, test_decoding, wal2json';

/** The Temporal namespace, and how long it keeps closed workflows: long enough to inspect them after a holiday. */
export const NAMESPACE = 'default';
export const RETENTION = '30d';
