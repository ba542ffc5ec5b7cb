/** The connection from the worker to each server: encrypted, to the right server, without a pooler that mixes sessions. */
import type { Finding } from '../../../contract/finding.ts';
import type { Check, Side, SourceFacts } from '../facts.ts';
import { isOwn, type EndpointFacts } from '../read/endpoint.ts';
import { error, list, warning } from '../wording.ts';

export const endpoint: Check = ({ endpoints, migration, source }) =>
  (['source', 'target'] as const).flatMap((side) => {
    const found = endpoints[side];
    return found === null
      ? []
      : [...link(side, migration[side], found), ...between(side, found), ...sender(found, source)];
  });

function link(side: Side, service: string, { link: found }: EndpointFacts): Finding[] {
  if (found.local) return [];
  if (!found.encrypted) {
    return [
      warning(
        `${side}-plain`,
        `the connection to the ${side} at ${found.place} is not encrypted: rows and the login can be read on the network`,
        `Set sslmode=verify-full and sslrootcert in service "${service}" (and ssl = on in the server), unless the network is trusted.`,
      ),
    ];
  }
  if (found.verified !== 'nothing') return [];
  return [
    warning(
      `${side}-unverified`,
      `the connection to the ${side} at ${found.place} is encrypted, but the server's certificate is not verified: another host could impersonate it`,
      `Set sslmode=verify-full and sslrootcert in service "${service}".`,
    ),
  ];
}

const DIRECT =
  "Point the service directly to the server: its own host and port (usually 5432), not the pooler's or load balancer's.";

/**
 * | servers | backend shared or settings lost | process id differs | finding  |
 * | ------- | ------------------------------- | ------------------ | -------- |
 * | several | any                             | any                | balanced |
 * | one     | yes                             | any                | pooled   |
 * | one     | no                              | yes                | proxied  |
 */
function between(side: Side, { servers, shared, lostSettings, proxied }: EndpointFacts): Finding[] {
  if (servers > 1) {
    return [
      error(
        `${side}-balanced`,
        `connections to the ${side} reach ${servers} different servers: a snapshot or slot of one does not exist on the others`,
        DIRECT,
      ),
    ];
  }
  if (shared || lostSettings.length > 0) {
    const how = shared
      ? 'sessions do not keep their own backend'
      : `settings that every session needs are not passed on (${list(lostSettings)})`;
    return [
      error(
        `${side}-pooled`,
        `the ${side} is behind a connection pooler: ${how}; exported snapshots, locks and settings would be lost`,
        DIRECT,
      ),
    ];
  }
  if (!proxied) return [];
  return [
    warning(
      `${side}-proxied`,
      `something between the worker and the ${side} relays the connection (a pooler in session mode, a proxy)`,
      `It kept sessions apart in a short test, but may not do so for hours. ${DIRECT}`,
    ),
  ];
}

/** Reported only if no other finding explains it: a pooler, a missing right, no free WAL sender. */
function sender(found: EndpointFacts, source: SourceFacts | null): Finding[] {
  const { replication } = found;
  if (replication === null || !isOwn(found)) return [];
  if (source?.plugin.state === 'denied') return [];
  if (source !== null && source.sendersUsed >= source.sendersMax) return [];
  return [
    error(
      'source-replication-connection',
      replication.message,
      'Give the role the replication attribute, and let pg_hba.conf (and any proxy) accept a replication connection to this database.',
    ),
  ];
}
