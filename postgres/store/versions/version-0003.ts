/**
 * Version 3 of the control schema: verifications, what they compare, the sums of pieces, and the keys of rows that differ. Never
 * edit it once it is released.
 */
export const VERSION_0003 = /* sql */ `
create table walferry.verification (
  migration text not null references walferry.migration on delete cascade,
  id text not null,
  begun_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  report jsonb,                            -- contract/verification.ts; null: not concluded
  primary key (migration, id)
);

create table walferry.verification_anchor (
  migration text not null,
  verification text not null,
  anchor text not null,
  lsn pg_lsn not null,
  source_snapshot text not null,           -- names from pg_export_snapshot() ...
  target_snapshot text not null,
  source_visible text not null,            -- ... and what each shows: another session's snapshot may have the same name
  target_visible text not null,
  taken_at timestamptz not null default clock_timestamp(),
  primary key (migration, verification, anchor),
  foreign key (migration, verification) references walferry.verification on delete cascade
);

create table walferry.verification_table (
  migration text not null,
  verification text not null,
  id integer not null,                     -- number within the verification
  schema_name text not null,               -- of the target's table
  table_name text not null,
  shape jsonb,                             -- what is compared (verification-shape.ts); null: nothing
  state text not null,                     -- pending, summing, equal, suspect, different or skipped
  anchor text,                             -- the one state at which both sides are summed up
  attempts integer not null default 0,     -- anchors at which it was begun
  pieces_left integer not null default 0,  -- unfinished pieces of both sides; the row lock counts concurrent marks
  buckets integer[],                       -- whose sums differ
  rows bigint not null default 0,          -- of the source
  bytes bigint not null default 0,
  keys bigint not null default 0,          -- that differ
  more boolean not null default false,     -- whether not all of them are stored
  reason text,                             -- why it is not compared
  primary key (migration, verification, id),
  unique (migration, verification, schema_name, table_name),
  foreign key (migration, verification) references walferry.verification on delete cascade,
  check (state in ('pending', 'summing', 'equal', 'suspect', 'different', 'skipped')),
  check ((state = 'skipped') = (reason is not null)),
  check (state <> 'summing' or anchor is not null)
);

create table walferry.verification_piece (
  migration text not null,
  verification text not null,
  id integer not null,
  anchor text not null,
  side text not null,                      -- source or target
  tables integer[] not null,               -- one, or a bundle of small tables
  part integer,                            -- number of a table in the shape's list of its side; null: all of them
  first_block bigint,                      -- null: whole tables
  end_block bigint,                        -- first block not in the piece; null: to the end
  pages bigint not null,
  bytes bigint not null,                   -- with its share of TOAST
  done_at timestamptz,
  rows bigint,
  worker text,                             -- host name and process id of the worker that summed it up
  primary key (migration, verification, id),
  foreign key (migration, verification) references walferry.verification on delete cascade
);

-- Per piece: marking a piece and adding its sums is one statement without a shared row. Removed once a table is settled.
create table walferry.verification_sum (
  migration text not null,
  verification text not null,
  table_id integer not null,
  side text not null,
  piece integer not null,
  buckets integer[] not null,              -- those with rows ...
  rows bigint[] not null,                  -- ... their rows, and the sums of the low and the high 32 bits of their hashes
  low numeric[] not null,
  high numeric[] not null,
  primary key (migration, verification, table_id, side, piece),
  foreign key (migration, verification) references walferry.verification on delete cascade
);

create table walferry.verification_difference (
  migration text not null,
  verification text not null,
  table_id integer not null,
  number integer not null,                 -- within the table
  key jsonb,                               -- texts of the key's columns, by name; null: the table has no key
  hash bigint,                             -- of the whole row, in a table without a key
  kind text not null,                      -- missing, extra or different
  source_rows bigint not null,             -- with this key, or this hash
  target_rows bigint not null,
  primary key (migration, verification, table_id, number),
  foreign key (migration, verification, table_id) references walferry.verification_table on delete cascade,
  check (kind in ('missing', 'extra', 'different')),
  check ((key is null) = (hash is not null))
);
`;
