/** `walferry watch ID --tables`: reads the tables' states from the control schema on the target. Changes nothing. */
import { defaultPayloadConverter } from '@temporalio/common';
import { MigrationError } from '../../contract/failure.ts';
import { parseInput } from '../../contract/input.ts';
import { connect } from '../../postgres/connection/connect.ts';
import { classify } from '../../postgres/connection/failure.ts';
import { listTables, type ListedTable } from '../../postgres/store/table-report.ts';
import { OperatorError } from '../operator-error.ts';
import { ProgressModel } from './model.ts';
import type { Observer } from './observer.ts';
import { renderTables, tableViews } from './table-view.ts';
import type { TemporalClient } from './temporal-client.ts';

/** The tables cannot be listed; the message says why and what to do. */
export class NoTables extends OperatorError {
  override readonly name = 'NoTables';
}

/**
 * The lines to print.
 * @throws NoTables, UnknownWorkflow.
 */
export async function tableLines(
  temporal: TemporalClient,
  observer: Observer,
  workflowId: string,
  json: boolean,
): Promise<string[]> {
  // Only ready tables need it: without a worker their lag is not known.
  await observer.look();
  await observer.settled();
  const { stream } = new ProgressModel().view(await observer.look());
  const target = await targetOf(temporal, workflowId);
  const tables = tableViews(await read(target, workflowId), stream);
  if (json) return [JSON.stringify({ workflowId, target, tables })];
  return renderTables(workflowId, tables, stream);
}

/** From the workflow's input, so that it needs no worker. */
async function targetOf(temporal: TemporalClient, workflowId: string): Promise<string> {
  const { client, namespace } = temporal;
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace,
    execution: { workflowId },
    maximumPageSize: 1,
  });
  const started = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
  const [payload] = started?.input?.payloads ?? [];
  const parsed = parseInput(payload && defaultPayloadConverter.fromPayload(payload));
  if (parsed.ok) return parsed.input.target;
  throw new NoTables(`the input of workflow "${workflowId}" names no target: ${parsed.message}`);
}

async function read(target: string, workflowId: string): Promise<readonly ListedTable[]> {
  let tables: readonly ListedTable[] | null;
  try {
    await using client = await connect(target, 'watch');
    await client.query(/* sql */ `set default_transaction_read_only = on`);
    tables = await listTables(client, workflowId);
  } catch (error) {
    const { message } =
      error instanceof MigrationError ? error : classify(error, { side: 'target' }, 'Internal');
    throw new NoTables(
      `the tables cannot be read from "${target}" here: ${message}; run it where the workers are, with their service and password files`,
      { cause: error },
    );
  }
  if (tables !== null) return tables;
  throw new NoTables(
    `"${target}" has no control schema of workflow "${workflowId}": its schema is not copied yet, or the migration has ended`,
  );
}
