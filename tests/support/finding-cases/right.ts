/** Facts about rights, roles and objects, each with the one finding that it gives. */
import { MigrationError } from '../../../contract/failure.ts';
import { OutOfLocks } from '../../../postgres/dump/lock-table-full.ts';
import { SOURCE, TABLE, TARGET } from '../preflight-facts.ts';
import {
  type Case,
  RIGHTS,
  THERE,
  REFUSED,
  TOGETHER,
  rehearsed,
  strangers,
  source,
  target,
  objects,
} from './parts.ts';

const PASSING = {
  name: 'subscription "s"',
  what: 'its worker writes',
  action: 'Disable it before the cutover: alter subscription s disable.',
  refuses: true,
};

export const RIGHT_CASES: readonly Case[] = [
  ['source-select', 'error', source({ unreadable: [{ ...TABLE, selected: true }] })],
  ['source-select-other', 'error', source({ unreadable: [{ ...TABLE, selected: false }] })],
  ['source-sequence', 'error', source({ unreadableSequences: [TABLE] })],
  ['target-create', 'error', target({ mayCreateSchemas: false })],
  ['target-schema', 'error', target({ closedSchemas: ['public'] })],
  ['target-write', 'error', target({ tables: [{ ...THERE, writable: false }] })],
  ['target-owner', 'error', target({ tables: [{ ...THERE, owned: false }] })],
  ['replica-role', 'error', target({ mayReplicate: false })],
  [
    'fence-right',
    'error',
    source({ fence: { kind: 'trigger', missing: ['no right'], passes: [] } }),
  ],
  [
    'fence-default',
    'warning',
    source({ fence: { kind: 'trigger', byDefault: true, missing: ['no right'], passes: [] } }),
  ],
  [
    'fence-default',
    'warning',
    source({ fence: { kind: 'trigger', byDefault: true, missing: [], passes: [PASSING] } }),
  ],
  [
    'fence-subscription',
    'error',
    source({ fence: { kind: 'trigger', missing: [], passes: [PASSING] } }),
  ],
  [
    'fence-passes',
    'warning',
    source({ fence: { kind: 'roles', missing: [], passes: [{ ...PASSING, refuses: false }] } }),
  ],
  [
    'target-subscription',
    'error',
    target({ subscribed: [{ schema: 'public', name: 't', subscription: 's' }] }),
  ],
  [
    'leftover-fence',
    'error',
    target({ gates: [{ id: 'old', workflowId: 'old', state: 'closed' }] }),
  ],
  [
    'target-schema-rights',
    'warning',
    {
      source: { schemaRights: [RIGHTS] },
      target: {
        schemaRights: [{ ...RIGHTS, owner: 'admin' }],
        roles: new Map([['boss', { member: true, usable: true }]]),
      },
    },
  ],
  [
    'target-schema-rights',
    'warning',
    {
      source: { schemaRights: [RIGHTS] },
      target: { schemaRights: [{ ...RIGHTS, grants: [{ privilege: 'CREATE', grantee: null }] }] },
    },
  ],
  [
    'unenforced-constraints',
    'warning',
    source({ unenforced: [{ schema: 'public', name: 't', constraint: 't_fkey' }] }),
  ],
  ['source-own-schema', 'error', source({ ownNameTaken: true })],
  ['role-missing', 'error', source({ roles: { ...SOURCE.roles, owners: ['boss'] } })],
  [
    'role-not-member',
    'error',
    {
      source: { roles: { ...SOURCE.roles, owners: ['boss'] } },
      target: { roles: new Map([['boss', { member: false, usable: false }]]) },
    },
  ],
  [
    'default-privileges',
    'error',
    {
      ...objects({ defaultPrivileges: ['boss'] }),
      target: { roles: new Map([['boss', { member: false, usable: false }]]) },
    },
  ],
  [
    'target-default-privileges',
    'warning',
    target({ objects: { ...TARGET.objects, defaultPrivileges: true } }),
  ],
  [
    'event-trigger-right',
    'error',
    {
      ...objects({ eventTriggers: ['audit'] }),
      target: { eventTriggers: { may: false, refusedOwners: [] } },
    },
  ],
  [
    'event-triggers',
    'note',
    {
      ...objects({ eventTriggers: ['audit'] }),
      target: { eventTriggers: { may: true, refusedOwners: [] } },
    },
  ],
  [
    'target-clash',
    'error',
    {
      ...objects({ eventTriggers: ['audit'] }),
      target: {
        eventTriggers: { may: true, refusedOwners: [] },
        objects: { ...TARGET.objects, eventTriggerNames: ['audit'] },
      },
    },
  ],
  ['login-triggers', 'warning', objects({ loginTriggers: ['welcome'] })],
  [
    'target-event-triggers',
    'warning',
    target({ objects: { ...TARGET.objects, eventTriggers: ['audit'] } }),
  ],
  [
    'target-event-trigger-blocks',
    'error',
    rehearsed({ triggers: [{ name: 'no_ddl', state: 'enable', refused: 'TABLE app.t' }] }),
  ],
  ['owner-create', 'error', rehearsed({ owners: [{ schema: 'app', owner: 'boss' }] })],
  ['object-refused', 'error', rehearsed({ refused: [REFUSED] })],
  ['object-refused', 'error', rehearsed({ refused: [{ ...REFUSED, kind: 'FUNCTION' }] })],
  [
    'not-owned',
    'warning',
    rehearsed({ others: [{ name: 'comment on SCHEMA public', grants: null }] }),
  ],
  [
    'check-deferred',
    'warning',
    rehearsed({ checks: [{ name: 'CHECK app.t.c', functions: ['f'] }] }),
  ],
  ['source-lock-table', 'warning', rehearsed({ together: TOGETHER })],
  [
    'source-lock-table',
    'error',
    rehearsed({ together: TOGETHER, failure: new OutOfLocks(TOGETHER) }),
  ],
  ['schema-untried', 'note', rehearsed({ untried: 7 })],
  ['schema-untried', 'warning', rehearsed({ failure: new MigrationError('Contention', 'busy') })],
  ['schema-untried', 'error', rehearsed({ failure: new MigrationError('SchemaFailed', 'no') })],
  ['user-mappings', 'warning', source({ hiddenMappings: ['USER MAPPING for app on server far'] })],
  ['extension-members', 'error', strangers({ relation: 'public.queue' })],
  ['extension-members', 'warning', strangers({ relation: null })],
];
