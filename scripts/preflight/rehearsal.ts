/** `walferry preflight`: gathers, checks and prints, as the first step of the workflow does. */
import type { Finding } from '../../contract/finding.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import { slotName } from '../../contract/slot-name.ts';
import { gatherFacts } from '../../postgres/preflight/gather.ts';
import { check, type AllFacts } from '../../postgres/preflight/checks.ts';
import { OperatorError } from '../operator-error.ts';
import { readInput } from './input-file.ts';
import { describeFacts, describeFindings } from './lines.ts';

/** @returns the exit code: 1 when the workflow would refuse the migration. */
export async function preflight(
  file: string,
  { workflowId, json }: { readonly workflowId: string; readonly json: boolean },
): Promise<number> {
  const { facts, findings } = await look(await readInput(file), workflowId);
  const refused = findings.some(({ level }) => level === 'error');
  const lines = json
    ? [JSON.stringify({ ready: !refused, findings })]
    : [...describeFacts(facts), '', ...describeFindings(findings)];
  for (const line of lines) console.log(line);
  return refused ? 1 : 0;
}

/** Without a run there is no id; whatever earlier runs left belongs to others. */
async function look(
  input: MigrationInput,
  workflowId: string,
): Promise<{ facts: AllFacts; findings: Finding[] }> {
  const { source, target } = input;
  const migration = { id: '', workflowId, source, target, slot: slotName(workflowId, '') };
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort(new OperatorError('interrupted')));
  const facts = await gatherFacts(migration, input, {
    signal: stop.signal,
    beat: ({ step }) => {
      if (process.stderr.isTTY) process.stderr.write(`${step} …\n`);
    },
  });
  return { facts, findings: check(facts) };
}
