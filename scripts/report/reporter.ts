/** `walferry report`: what a migration did, from stored facts: the histories of its runs and, while it runs, the workflow's state. */
import { parseProgress } from '../../contract/progress.ts';
import { connectTemporal, type TemporalClient } from '../watch/temporal-client.ts';
import { readChain } from './chain.ts';
import { buildReport } from './report-build.ts';
import { readRecord, type Known } from './report-facts.ts';
import { htmlOf } from './report-html.ts';
import { markdownOf } from './report-markdown.ts';
import type { Report } from './report-model.ts';

export type Format = 'md' | 'json' | 'html';

/** A query needs a worker; the report can do without. */
const QUERY_DEADLINE_MS = 5_000;

const RENDERERS: Readonly<Record<Format, (report: Report) => string>> = {
  md: markdownOf,
  json: (report) => `${JSON.stringify(report, null, 2)}\n`,
  html: htmlOf,
};

/** Prints the report. @returns the exit code 0. @throws UnknownWorkflow, NoTemporal. */
export async function report(workflowId: string, format: Format): Promise<number> {
  await using temporal = await connectTemporal();
  const { runs, complete } = await readChain(temporal, workflowId);
  const [first, ...others] = runs;
  if (!first) throw new Error('a chain has at least one run');
  const newest = runs.at(-1) ?? first;
  // The answer of a closed run adds nothing to what it stored when it ended, but to that of earlier code.
  const answers = await askWorker(temporal, workflowId, newest.runId);
  const known: Known = {
    ...{ runs: [first, ...others], complete, now: new Date().toISOString() },
    ...answers,
  };
  process.stdout.write(render(buildReport(known), format));
  return 0;
}

export const render = (made: Report, format: Format): string => RENDERERS[format](made);

async function askWorker(
  { client }: TemporalClient,
  workflowId: string,
  runId: string,
): Promise<Pick<Known, 'progress' | 'record'>> {
  const handle = client.workflow.getHandle(workflowId, runId);
  const ask = (query: string) =>
    client
      .withDeadline(Date.now() + QUERY_DEADLINE_MS, () => handle.query<unknown>(query))
      .catch(() => undefined);
  const [progress, record] = await Promise.all([ask('progress'), ask('record')]);
  try {
    return { progress: parseProgress(progress), record: readRecord(record) };
  } catch {
    // No worker answered, or one of another version: histories have to be enough.
    return {};
  }
}
