/** The command line of walferry: help, mistakes and completion. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
const COMMANDS = [
  ...['worker', 'preflight', 'watch', 'report', 'compare', 'cleanup', 'tail', 'replay'],
  ...['demo', 'cluster', 'setup', 'writer', 'completion'],
];
const SCREEN = { lines: 24, columns: 80 };

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function walferry(words: readonly string[], flags: readonly string[] = []): Outcome {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...flags, 'scripts/walferry.mjs', ...words],
    { cwd: ROOT, encoding: 'utf8' },
  );
  return { code: status, out: stdout, err: stderr };
}

test('--help fits a screen and describes each command on one line', () => {
  const { code, out } = walferry(['--help']);
  expect(code).toBe(0);
  const lines = out.trimEnd().split('\n');
  expect(lines.length).toBeLessThanOrEqual(SCREEN.lines);
  for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(SCREEN.columns);
  const list = lines.slice(lines.indexOf('Commands:') + 1, lines.lastIndexOf(''));
  expect(list.map((line) => line.trim().split(/ {2,}/)[0])).toEqual(COMMANDS);
});

test('--help loads neither drivers nor SDKs', () => {
  const report = `import { createRequire } from 'node:module';
    process.on('exit', () => console.error(Object.keys(createRequire(${JSON.stringify(`${ROOT}/x`)}).cache).join('\\n')));`;
  const flags = ['--import', `data:text/javascript,${encodeURIComponent(report)}`];
  const { err } = walferry(['--help'], flags);
  expect(err).toContain('/node_modules/commander/');
  expect(err).not.toMatch(/node_modules\/(pg|@temporalio|@grpc|pino|valibot)\//);
});

test.each(COMMANDS)('%s --help shows how to call it', (command) => {
  const { code, out } = walferry([command, '--help']);
  expect(code).toBe(0);
  expect(out).toContain(`Usage: walferry ${command}`);
});

test('--version prints the version of the package', () => {
  const text = readFileSync(path.join(ROOT, 'package.json'), 'utf8');
  const { code, out } = walferry(['--version']);
  expect(code).toBe(0);
  expect(text).toContain(`"version": "${out.trim()}"`);
});

test.each([
  [['wacth', 'orders'], "error: unknown command 'wacth'\n(Did you mean watch?)"],
  [['watch', '--fast', 'orders'], "error: unknown option '--fast'"],
  [['watch'], "error: missing required argument 'workflow-id'"],
  [['watch', 'a', 'b'], "error: too many arguments for 'watch'"],
  [['worker', '--max-copies', 'many'], 'must be a whole number from 1 to 1000000'],
  [['cluster', 'begin'], "error: unknown command 'begin'"],
  [['completion', 'tcsh'], 'Allowed choices are bash, zsh'],
  [['preflight', 'no/such.json'], 'preflight: no/such.json cannot be read (ENOENT)'],
])('%j is a mistake: exit code 2, and a message that names it', (words, message) => {
  const { code, out, err } = walferry(words);
  expect(err).toContain(message);
  expect({ code, out }).toEqual({ code: 2, out: '' });
});

/** What a shell offers at a TAB behind these words. */
function offered(script: string, words: readonly string[]): string[] {
  const { stdout, stderr } = spawnSync(
    'bash',
    [
      ...['--norc', '-c'],
      `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _walferry; printf '%s\\n' "\${COMPREPLY[@]}"`,
      ...['bash', script, ...words],
    ],
    { encoding: 'utf8' },
  );
  expect(stderr).toBe('');
  return stdout.split('\n').filter((line) => line !== '');
}

test('bash completes commands, subcommands, options and their values', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'walferry-completion-'));
  try {
    const script = path.join(folder, 'walferry.bash');
    writeFileSync(script, walferry(['completion', 'bash']).out);
    expect(offered(script, ['walferry', ''])).toEqual(expect.arrayContaining(COMMANDS));
    expect(offered(script, ['walferry', 'wa'])).toEqual(['watch']);
    expect(offered(script, ['walferry', 'compare', 'a', '--se'])).toEqual([]);
    expect(offered(script, ['walferry', 'compare', 'a', '--no'])).toEqual(['--no-sequences']);
    expect(offered(script, ['walferry', 'cluster', 's'])).toEqual(['status']);
    expect(offered(script, ['walferry', 'worker', '--log-format', ''])).toEqual(['json', 'pretty']);
    expect(offered(script, ['walferry', 'writer', 'source', '--ra'])).toEqual(['--rate']);
    expect(offered(script, ['walferry', 'completion', 'z'])).toEqual(['zsh']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const zsh = spawnSync('zsh', ['--version']).status === 0;

test.skipIf(!zsh)('zsh accepts its script and completes walferry with it', () => {
  const check =
    'autoload -U compinit && compinit -D; eval "$SCRIPT"; print -r -- $_comps[walferry]';
  const { stdout, stderr } = spawnSync('zsh', ['-f', '-c', check], {
    encoding: 'utf8',
    env: { ...process.env, SCRIPT: walferry(['completion', 'zsh']).out },
  });
  expect(stderr).toBe('');
  expect(stdout).toContain('_walferry');
});
