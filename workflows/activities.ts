/** The activities, grouped by how they are waited for. */
import { proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/interface.ts';
import { CLEANUP, SNAPSHOT_OWNER, LONG, QUICK } from './options.ts';

/** Single statements, without heartbeat. */
export const quick = proxyActivities<Activities>(QUICK);
/** Whatever works for long or waits; beats. */
export const long = proxyActivities<Activities>(LONG);
/** The holder of the snapshot. */
export const owner = proxyActivities<Activities>(SNAPSHOT_OWNER);
/** Gives up after some attempts: cleanup must end. */
export const cleanup = proxyActivities<Activities>(CLEANUP);
