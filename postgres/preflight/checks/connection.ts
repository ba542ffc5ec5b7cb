/** The connection from the worker to each server: it answers, encrypted, as the right server, without a pooler that mixes sessions. */
import { FAILURES, type FailureCode } from '../../../contract/failure-catalogue.ts';
import { list } from '../wording.ts';
import {
  defineCheck,
  raising,
  ofEachSide,
  onEachSide,
  refuses,
  warns,
  type Side,
  type Facts,
  type Values,
  type Found,
} from '../check.ts';
import { isOwn, type EndpointFacts } from '../facts/endpoint.ts';
import { plugin } from '../facts/plugin.ts';
import { senders } from '../facts/senders.ts';
import { value } from '../reading.ts';
import type { ServerFacts } from '../server.ts';

const { codes, error, warning } = raising({
  ...ofEachSide({
    pooled: refuses('A connection pooler shares backends between sessions.'),
    plain: warns('The connection goes over a network and is not encrypted.'),
    unverified: warns("The connection is encrypted, but the server's certificate is not verified."),
    balanced: refuses('Connections to the same service reach different servers.'),
    proxied: warns('A proxy or pooler is between the worker and the server.'),
    service: refuses(
      'The worker does not know the service, or the service has a setting that is not supported.',
    ),
    unreachable: refuses('The server does not answer.'),
    denied: refuses('The server refuses the login.'),
    'not-inspected': refuses('The database could not be inspected completely.'),
  }),
  'same-database': refuses('Source and target are the same database.'),
  'source-replication-connection': refuses('The source does not accept a replication connection.'),
});

const DIRECT =
  "Point the service directly to the server: its own host and port (usually 5432), not the pooler's or load balancer's.";

const ofSource = { plugin, senders };
type Reached = ServerFacts & { readonly fingerprint: string };

export const connection = defineCheck({
  codes,
  both: {
    // Equal only for the same database of the same running server: the start time differs between two clusters that were
    // restored from one backup.
    fingerprint: value<string>(/* sql */ `
      select concat_ws(' ', oid, datname, pg_postmaster_start_time())
        from pg_catalog.pg_database where datname = current_database()`),
  },
  source: ofSource,
  find: (facts) => [
    reach(facts),
    onEachSide(facts.endpoints, (side, found) => [
      link(side, facts.migration[side], found),
      between(side, found),
      sender(found, facts.source),
    ]),
  ],
});

function reach({ failures, source, target }: Facts<Reached, Reached>): Found {
  const findings = failures.map(({ side, failure }) =>
    failure.details.sqlstate === PROTOCOL_VIOLATION
      ? error(
          `${side}-pooled`,
          `${failure.message}; the startup settings of the session are refused, which is typical of connection poolers`,
          DIRECT,
        )
      : error(`${side}-${suffix(failure.code)}`, failure.message, FAILURES[failure.code].action),
  );
  if (source && target && source.fingerprint === target.fingerprint) {
    findings.push(
      error(
        'same-database',
        `source and target are the same database, "${source.database}" on the same server`,
        'Use another database or another server as the target.',
      ),
    );
  }
  return findings;
}

/** The answer of pgbouncer to an unknown startup parameter such as `options`. */
const PROTOCOL_VIOLATION = '08P01';

type Suffix = 'service' | 'unreachable' | 'denied' | 'not-inspected';

const SUFFIXES: Readonly<Partial<Record<FailureCode, Suffix>>> = {
  UnknownService: 'service',
  InvalidService: 'service',
  Unreachable: 'unreachable',
  Contention: 'unreachable',
  Denied: 'denied',
};

function suffix(code: FailureCode): Suffix {
  return SUFFIXES[code] ?? 'not-inspected';
}

function link(side: Side, service: string, { link: found }: EndpointFacts): Found {
  if (found.local) return [];
  if (!found.encrypted) {
    return warning(
      `${side}-plain`,
      `the connection to the ${side} at ${found.place} is not encrypted: rows and the login can be read on the network`,
      `Set sslmode=verify-full and sslrootcert in service "${service}" (and ssl = on in the server), unless the network is trusted.`,
    );
  }
  if (found.verified !== 'nothing') return [];
  return warning(
    `${side}-unverified`,
    `the connection to the ${side} at ${found.place} is encrypted, but the server's certificate is not verified: another host could impersonate it`,
    `Set sslmode=verify-full and sslrootcert in service "${service}".`,
  );
}

/**
 * | servers | backend shared or settings lost | process id differs | finding  |
 * | ------- | ------------------------------- | ------------------ | -------- |
 * | several | any                             | any                | balanced |
 * | one     | yes                             | any                | pooled   |
 * | one     | no                              | yes                | proxied  |
 */
function between(side: Side, { servers, shared, lostSettings, proxied }: EndpointFacts): Found {
  if (servers > 1) {
    return error(
      `${side}-balanced`,
      `connections to the ${side} reach ${servers} different servers: a snapshot or slot of one does not exist on the others`,
      DIRECT,
    );
  }
  if (shared || lostSettings.length > 0) {
    const how = shared
      ? 'sessions do not keep their own backend'
      : `settings that every session needs are not passed on (${list(lostSettings)})`;
    return error(
      `${side}-pooled`,
      `the ${side} is behind a connection pooler: ${how}; exported snapshots, locks and settings would be lost`,
      DIRECT,
    );
  }
  if (!proxied) return [];
  return warning(
    `${side}-proxied`,
    `something between the worker and the ${side} relays the connection (a pooler in session mode, a proxy)`,
    `It kept sessions apart in a short test, but may not do so for hours. ${DIRECT}`,
  );
}

/** Reported only if no other finding explains it: a pooler, a missing right, no free WAL sender. */
function sender(found: EndpointFacts, source: Values<typeof ofSource> | null): Found {
  const { replication } = found;
  if (replication === null || !isOwn(found)) return [];
  if (source?.plugin.state === 'denied') return [];
  if (source !== null && source.senders.used >= source.senders.max) return [];
  return error(
    'source-replication-connection',
    replication.message,
    'Give the role the replication attribute, and let pg_hba.conf (and any proxy) accept a replication connection to this database.',
  );
}
