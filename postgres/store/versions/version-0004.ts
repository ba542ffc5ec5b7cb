/** Version 4: what a fence took on the source and has to give back, and the gate of a fence that has none on the source. */
export const VERSION_0004 = /* sql */ `
-- The gate of the kinds "roles", "command" and "none"; a trigger keeps its own beside its function, on the source.
create table walferry.fence_gate (
  migration text primary key references walferry.migration on delete cascade,
  state text not null default 'open' check (state in ('open', 'armed', 'sealed')),
  cutover text,                            -- the last one that armed it
  deadline timestamptz,                    -- of the arming, by the clock of the target
  include text[] not null,                 -- the selection that it fences
  exclude text[] not null
);

create table walferry.fence_used (
  migration text not null references walferry.migration on delete cascade,
  cutover text not null,                   -- an id arms once
  primary key (migration, cutover)
);

create table walferry.fence_grant (
  migration text not null references walferry.migration on delete cascade,
  position integer not null,               -- in which order they are granted; revoked in the opposite one
  table_oid bigint not null,               -- on the source
  column_name text,                        -- null: the whole table
  grantor text not null,
  grantee text,                            -- null: PUBLIC
  privilege text not null,                 -- INSERT, UPDATE, DELETE or TRUNCATE
  grantable boolean not null,
  primary key (migration, position)
);

create table walferry.fence_setting (
  migration text not null references walferry.migration on delete cascade,
  what text not null,                      -- readOnlyDefault, connect or connectionLimit, as in the input
  previous text,                           -- the source's value before the first change; null: there was none
  primary key (migration, what)
);
`;
