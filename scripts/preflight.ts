/** `npm run preflight`: what preflight of the workflow would find, before anything is started. Needs only the databases. */
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import type { Finding } from '../contract/finding.ts';
import { parseInput, type MigrationInput } from '../contract/input.ts';
import { slotName } from '../contract/migration.ts';
import { gatherFacts } from '../postgres/preflight/gather.ts';
import { check, type AllFacts } from '../postgres/preflight/checks.ts';
import { describeFacts, describeFindings } from './preflight/render.ts';

interface Options {
  workflowId: string;
  json: boolean;
}

const program = new Command('npm run preflight --')
  .description(
    'Checks both databases of a migration like its first step does, and shows every finding.',
  )
  .argument('<file>', 'the input of the migration, as for temporal workflow start --input-file')
  .option('--workflow-id <id>', 'the id that the migration will have: finds leftovers of it', '')
  .option('--json', 'print one JSON object', false)
  .showHelpAfterError()
  .addHelpText(
    'after',
    `
Examples:
  npm run preflight -- migration.json
  npm run preflight -- migration.json --workflow-id orders
  npm run preflight -- migration.json --json

Needs the two databases and the files behind PGSERVICEFILE and PGPASSFILE; no Temporal. Changes nothing, except that a
temporary slot exists on the source for a moment. The same code runs as the first step of the workflow, on a worker.
Exit codes: 0 ready (warnings and notes may be shown), 1 errors found, 2 the input is unusable.`,
  )
  .action(async (file: string, { workflowId, json }: Options) => {
    const { facts, findings } = await look(await inputFrom(file), workflowId);
    if (json) console.log(JSON.stringify({ ready: !refused(findings), findings }));
    else
      for (const line of [...describeFacts(facts), '', ...describeFindings(findings)])
        console.log(line);
    process.exitCode = refused(findings) ? 1 : 0;
  });

class Unusable extends Error {}

async function inputFrom(file: string): Promise<MigrationInput> {
  let raw: unknown;
  try {
    raw = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : null;
    // Not the parser's own message: it quotes the file, which may contain a password.
    throw new Unusable(code === null ? `${file} is not JSON` : `${file} cannot be read (${code})`);
  }
  const parsed = parseInput(raw);
  if (!parsed.ok) throw new Unusable(`${file}: ${parsed.message}`);
  return parsed.input;
}

/** Without a run there is no id; whatever earlier runs left belongs to others. */
async function look(
  input: MigrationInput,
  workflowId: string,
): Promise<{ facts: AllFacts; findings: Finding[] }> {
  const { source, target } = input;
  const migration = { id: '', workflowId, source, target, slot: slotName(workflowId, '') };
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort(new Unusable('interrupted')));
  const facts = await gatherFacts(migration, input, {
    signal: stop.signal,
    beat: ({ step }) => {
      if (process.stderr.isTTY) process.stderr.write(`${step} …\n`);
    },
  });
  return { facts, findings: check(facts) };
}

const refused = (findings: readonly Finding[]) => findings.some(({ level }) => level === 'error');

try {
  await program.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2)).parseAsync();
} catch (error) {
  if (!(error instanceof Unusable)) throw error;
  console.error(`preflight: ${error.message}`);
  process.exitCode = 2;
}
