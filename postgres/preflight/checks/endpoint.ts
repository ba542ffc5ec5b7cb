/** Between the worker and each server: an encrypted line to the right server, and nothing that mixes sessions. */
import type { Finding } from '../../../contract/finding.ts';
import type { Check, Side, SourceFacts } from '../facts.ts';
import { isOwn, type EndpointFacts } from '../read/endpoint.ts';
import { error, list, warning } from '../wording.ts';

export const endpoint: Check = ({ endpoints, migration, source }) =>
  (['source', 'target'] as const).flatMap((side) => {
    const found = endpoints[side];
    return found === null
      ? []
      : [...line(side, migration[side], found), ...between(side, found), ...sender(found, source)];
  });

function line(side: Side, service: string, { link }: EndpointFacts): Finding[] {
  if (link.local) return [];
  if (!link.encrypted) {
    return [
      warning(
        `${side}-plain`,
        `the connection to the ${side} at ${link.place} is not encrypted: rows and the log-in can be read on the network`,
        `Set sslmode=verify-full and sslrootcert in service "${service}" (and ssl = on in the server), unless the network is trusted.`,
      ),
    ];
  }
  if (link.verified !== 'nothing') return [];
  return [
    warning(
      `${side}-unverified`,
      `the connection to the ${side} at ${link.place} is encrypted, but the server's certificate is not verified: somebody in between could answer for it`,
      `Set sslmode=verify-full and sslrootcert in service "${service}".`,
    ),
  ];
}

const DIRECT =
  "Let the service name the server itself: its own host and port (5432 as a rule), not the pooler's or load balancer's.";

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
        `connections to the ${side} meet ${servers} different servers: a snapshot or slot of one is not known to the other`,
        DIRECT,
      ),
    ];
  }
  if (shared || lostSettings.length > 0) {
    const how = shared
      ? 'sessions do not keep a backend of their own'
      : `settings that every session needs are not passed on (${list(lostSettings)})`;
    return [
      error(
        `${side}-pooled`,
        `a connection pooler stands before the ${side}: ${how}; exported snapshots, locks and settings would be lost`,
        DIRECT,
      ),
    ];
  }
  if (!proxied) return [];
  return [
    warning(
      `${side}-proxied`,
      `something between the worker and the ${side} answers for the server (a pooler in session mode, a proxy)`,
      `It kept sessions apart in a short try; what it does for hours is not known. ${DIRECT}`,
    ),
  ];
}

/** Reported by itself only where no other finding is its reason: a pooler, no right, no free sender. */
function sender(found: EndpointFacts, source: SourceFacts | null): Finding[] {
  const { replication } = found;
  if (replication === null || !isOwn(found)) return [];
  if (source?.plugin.state === 'denied') return [];
  if (source !== null && source.sendersUsed >= source.sendersMax) return [];
  return [
    error(
      'source-replication-connection',
      replication.message,
      'Let the role have the attribute replication, and let pg_hba.conf (and whatever stands between) take a replication connection to this database.',
    ),
  ];
}
