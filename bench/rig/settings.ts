/** What every contender gets: the same servers, configured as an operator does for a migration. Printed with the results. */
import type { ServerSettings } from '../../scripts/local/cluster/settings.ts';

/**
 * Of both servers. Checkpoints do not happen in a measurement by chance: each round requests one before it starts.
 * With `log_replication_commands` the limit can be measured with exactly the options that walferry sends.
 */
export const SERVER_SETTINGS: ServerSettings = {
  wal_level: 'logical',
  // Relative to the data folder: a path of a socket may not have more than about 100 bytes. Only the limit uses it.
  unix_socket_directories: '.',
  max_connections: '700',
  max_replication_slots: '250',
  max_wal_senders: '250',
  max_worker_processes: '16',
  max_logical_replication_workers: '8',
  max_sync_workers_per_subscription: '4',
  shared_buffers: '1GB',
  max_wal_size: '8GB',
  checkpoint_timeout: '30min',
  maintenance_work_mem: '256MB',
  log_replication_commands: 'on',
  // Native's apply worker would restart only 5 s after it was enabled, and confirm only every 10 s.
  wal_retrieve_retry_interval: '100ms',
  wal_receiver_status_interval: '1s',
};

/** Streams of a copy, for every contender. */
export const STREAMS = 4;
