/** The fields of the workflow's input, their defaults and what they mean. Pure: the workflow itself parses it. */
import * as v from 'valibot';
import { approvalField } from './approval.ts';
import { COMPARISONS } from './comparison.ts';
import { described } from './described.ts';
import { duration } from './duration.ts';
import { fenceExtrasField, fenceField } from './fence.ts';
import { guardField } from './guard.ts';
import { limitsField } from './limits.ts';
import { verifyField, verifySliceField } from './verification-state.ts';
import { whole } from './whole.ts';
import { windowField } from './window.ts';

/** Service names as libpq reads them from a `[section]` line; no `=`, `:` or `/`, so a URI or DSN never matches. */
const serviceName = v.pipe(
  v.string('must be the name of a PostgreSQL service, in quotes'),
  v.minLength(1, 'must not be empty'),
  v.maxLength(128, 'must be at most 128 characters'),
  v.regex(
    /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/,
    'must be the name of a service from pg_service.conf (letters, digits, "_", "-", "."), never a URI or a connection string',
  ),
);

/**
 * `schema.table`, each part with `*` for any characters and `?` for one; dots in a part need quotes. Without quotes
 * `:`, `/`, `@` and `=` are refused: preflight names patterns that match nothing, and a URI may contain a password.
 */
const pattern = v.pipe(
  v.string('must be a list of patterns like "public.*"'),
  v.regex(
    /^(?:"(?:[^"]|"")+"|[^".:/@=]+)\.(?:"(?:[^"]|"")+"|[^".:/@=]+)$/u,
    'must be a list of schema-qualified patterns like "public.orders" or "app.*" ("*" stands for any characters; quote a name that contains a dot)',
  ),
);
const patterns = v.array(pattern, 'must be a list of patterns like ["public.*"]');

/** An object's name as in the catalog: no pattern, no schema, no quotes. */
const objectName = v.pipe(
  v.string('must be a list of names like ["pg_stat_statements"]'),
  v.minLength(1, 'must not contain an empty name'),
  v.maxBytes(63, 'must contain names of at most 63 bytes'),
);
const objectNames = v.array(objectName, 'must be a list of names like ["pg_stat_statements"]');

const flag = v.boolean('must be true or false');

/** Format of rows in the copy. `binary` refuses tables that would need text. */
const COPY_FORMATS = ['auto', 'text', 'binary'] as const;
export type CopyFormat = (typeof COPY_FORMATS)[number];

/** The schema of the input. Its descriptions are the text of docs/reference/settings.md. */
export const inputSchema = v.strictObject({
  source: described(serviceName, 'Service of the database to move, as the worker sees it.'),
  target: described(serviceName, 'Service of the database to move it to.'),
  tables: v.optional(
    v.strictObject({
      include: v.optional(
        described(
          v.pipe(patterns, v.minLength(1, 'must name at least one pattern')),
          'Tables to move: `schema.table` with `*` and `?`; quote a name that contains a dot. System schemas are never moved.',
        ),
        ['*.*'],
      ),
      exclude: v.optional(
        described(patterns, 'Tables not to move; takes precedence over `include`.'),
        [],
      ),
      viaPartitionRoot: v.optional(
        described(
          patterns,
          'Partitioned tables that are one table of the same name on the target, plain or partitioned differently. You create it there; all rows and changes go through it.',
        ),
        [],
      ),
    }),
    {},
  ),
  schema: v.optional(
    v.strictObject({
      owners: v.optional(
        described(
          flag,
          "Carry owners. `false` leaves every object to walferry's role on the target.",
        ),
        true,
      ),
      grants: v.optional(described(flag, 'Carry grants, default privileges included.'), true),
    }),
    {},
  ),
  // Limitations that the operator accepts; preflight refuses a source that has one otherwise.
  ignore: v.optional(
    v.strictObject({
      missingIdentity: v.optional(
        described(
          patterns,
          'Tables to move without a replica identity: inserts are replicated, and the first update or delete stops the stream and names the table.',
        ),
        [],
      ),
      unlogged: v.optional(
        described(
          patterns,
          'Unlogged tables to copy once: later changes are missing on the target, and the closing summary names the tables.',
        ),
        [],
      ),
      largeObjects: v.optional(
        described(
          flag,
          'Do not move large objects (`pg_largeobject`): columns that name them point to nothing on the target.',
        ),
        false,
      ),
      extensionRows: v.optional(
        described(
          flag,
          'Do not move rows that users put into the tables of extensions (`pg_extension.extconfig`).',
        ),
        false,
      ),
      extensions: v.optional(
        described(
          objectNames,
          'Extensions that are not created on the target, nor the views and functions that depend on them. Preflight refuses one that a selected table needs.',
        ),
        [],
      ),
      eventTriggers: v.optional(
        described(objectNames, 'Event triggers that are not created on the target.'),
        [],
      ),
    }),
    {},
  ),
  copy: v.optional(
    v.strictObject({
      parallelism: v.optional(
        described(whole(1, 32), 'Streams of the copy: chunks that are copied at the same time.'),
        4,
      ),
      chunkMegabytes: v.optional(
        described(
          whole(1, 4096),
          'Size of a chunk, MiB of table pages: what each copy stream of a dead worker repeats. When the snapshot owner dies, unfinished tables start over.',
        ),
        16,
      ),
      format: v.optional(
        described(
          v.picklist(COPY_FORMATS, 'must be "auto", "text" or "binary"'),
          '`"auto"`: binary for each table whose columns have the same binary form on both servers, text for the others. `"binary"` refuses tables that would need text.',
        ),
        'auto',
      ),
    }),
    {},
  ),
  // The sessions that build indexes on the target, `copy.parallelism` of them.
  index: v.optional(
    v.strictObject({
      memoryMegabytes: v.optional(
        described(
          whole(1, 1_048_576),
          "`maintenance_work_mem` of each session that builds indexes, MiB. Unset: its share of a quarter of the target's `shared_buffers`, at most 256, at least the target's setting.",
        ),
      ),
      parallelWorkers: v.optional(
        described(
          whole(0, 64),
          "`max_parallel_maintenance_workers` of these sessions. Unset: the target's setting.",
        ),
      ),
    }),
    {},
  ),
  stream: v.optional(
    v.strictObject({
      batchChanges: v.optional(
        described(whole(1, 1_000_000), 'Changes that are applied at once.'),
        20_000,
      ),
      batchMilliseconds: v.optional(
        described(
          whole(0, 60_000),
          'How long a smaller batch waits for more changes. 0: it is applied as soon as the target is free.',
        ),
        0,
      ),
      leaseSeconds: v.optional(
        described(
          whole(5, 3600),
          'How long one stream activity works before it returns its checkpoint to the workflow.',
        ),
        300,
      ),
    }),
    {},
  ),
  cutover: v.optional(
    v.strictObject({
      compare: v.optional(
        described(
          v.picklist(COMPARISONS, 'must be "changed", "full", "exact" or "off"'),
          'What is compared after the drain, while no one writes. `"exact"` counts the rows of every table on both sides and compares generated columns. `"changed"` also compares the rows that changed since the last verification, for a quarter of `maxDowntimeSeconds` at most. `"full"` also compares every row. `"off"` compares nothing, and the summary says so. Without a fence, and in a switch back, `"changed"` and `"full"` mean `"exact"`.',
        ),
        'changed',
      ),
      refresh: v.optional(
        described(
          flag,
          'Refresh materialized views within the cutover. `false`: they stay as they were when the target became consistent.',
        ),
        true,
      ),
      maxDowntimeSeconds: v.optional(
        described(
          whole(1, 3600),
          'How long a cutover with a fence may stop the writes. It is refused beforehand when its estimate does not fit, and undone when it takes longer; the source gives the writes back at that time by itself.',
        ),
        30,
      ),
      afterRelease: v.optional(
        described(
          v.pipe(
            v.array(
              v.pipe(
                v.string('must be a list of SQL statements'),
                v.minLength(1, 'must not contain an empty statement'),
                v.maxLength(10_000, 'must contain statements of at most 10,000 characters'),
              ),
              'must be a list of SQL statements',
            ),
            v.maxLength(20, 'must contain at most 20 statements'),
          ),
          'SQL statements that run on the target after a cutover with a fence has released it, one after the other, up to the first error, which is reported and undoes nothing. The history of the workflow stores them, so include no secret. After a lost worker those that have finished do not run again, except SET and RESET; the one that was running may.',
        ),
      ),
      sequenceMargin: v.optional(
        described(
          whole(0, 1_000_000_000),
          'How many numbers each sequence is set ahead in a cutover with a fence: for numbers that the source has handed out without a row. Unset: the cache of the sequence.',
        ),
      ),
    }),
    {},
  ),
  verify: verifyField,
  verifySliceMinutes: verifySliceField,
  fence: fenceField,
  fenceExtras: fenceExtrasField,
  switchback: v.optional(
    described(
      duration,
      'Keep a way back for this long after the cutover: changes of the target are streamed to the source, until `switchback` or `finalize`. Like `"24h"`; unset: no way back.',
    ),
  ),
  approval: approvalField,
  window: windowField,
  limits: limitsField,
  guard: guardField,
});

/** A complete input, with every default filled in. */
export type MigrationInput = v.InferOutput<typeof inputSchema>;
