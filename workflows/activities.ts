/** The activities, grouped by how they are waited for. */
import { proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/create.ts';
import { CLEANUP, SNAPSHOT_OWNER, LONG, QUICK } from './options.ts';

/** Single statements, without progress of their own. */
export const quick = proxyActivities<Activities>(QUICK);
/** Steps that take long or wait; they send heartbeats. */
export const long = proxyActivities<Activities>(LONG);
/** The snapshot owner. */
export const owner = proxyActivities<Activities>(SNAPSHOT_OWNER);
/** Gives up after some attempts: cleanup must end. */
export const cleanup = proxyActivities<Activities>(CLEANUP);
