/**
 * The Temporal CLI built from its Go module, for networks that reach only package registries. The command's own go.mod
 * has a `replace`, which `go install …@version` refuses; so a module of our own with the same replacement is built.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { ARCHITECTURES, keepTemporal, workFolder } from './fetch-temporal.ts';
import { TEMPORAL_VERSION } from './temporal-program.ts';

/** The toolchain that this version of the CLI requires. */
const GO_VERSION = '1.26.4';
/** From this version on Go fetches the toolchain that a module requires automatically. */
const OLDEST_SWITCHING_GO = [1, 21] as const;
const CLI_EXTENSION = 'v0.0.0-20260731000218-c579925f193f';

/** The Go command, if there is one. */
export function findGo(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter).filter((name) => name !== '');
  return [...folders, '/usr/local/go/bin', '/usr/lib/go/bin', '/opt/homebrew/bin']
    .map((folder) => path.join(folder, 'go'))
    .find((program) => existsSync(program));
}

/**
 * Builds the CLI into the cache folder; takes four to eight minutes on two cores.
 * @returns why it failed, or undefined when it is installed.
 */
export function buildTemporal(go: string): string | undefined {
  const folder = workFolder('build');
  try {
    const compiler = switchesToolchains(go) ? go : fetchToolchain(go, folder);
    const repository = 'github.com/temporalio/cli';
    const steps = [
      ['mod', 'init', 'local/temporal-cli'],
      [
        ...['mod', 'edit', `-go=${GO_VERSION}`, `-require=${repository}@v${TEMPORAL_VERSION}`],
        `-replace=${repository}/cliext@v0.0.0=${repository}/cliext@${CLI_EXTENSION}`,
      ],
      [
        ...['build', '-trimpath', '-o', 'temporal'],
        '-ldflags',
        `-s -w -X ${repository}/internal/temporalcli.Version=${TEMPORAL_VERSION}`,
        `${repository}/cmd/temporal`,
      ],
    ];
    for (const words of steps) runGo(compiler, words, folder);
    return keepTemporal(path.join(folder, 'temporal'));
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function switchesToolchains(go: string): boolean {
  const outcome = spawnSync(go, ['version'], { encoding: 'utf8', env: goEnvironment() });
  const [, major = 0, minor = 0] = (/go(\d+)\.(\d+)/.exec(outcome.stdout ?? '') ?? []).map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_SWITCHING_GO;
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
}

/** An older Go cannot switch toolchains, but it can fetch the newer one, which is published as a module too. */
function fetchToolchain(go: string, folder: string): string {
  const system = `${process.platform}-${ARCHITECTURES[process.arch] ?? process.arch}`;
  const toolchain = `golang.org/toolchain@v0.0.1-go${GO_VERSION}.${system}`;
  const answer: unknown = JSON.parse(runGo(go, ['mod', 'download', '-json', toolchain], folder));
  const root =
    typeof answer === 'object' && answer !== null && 'Dir' in answer ? String(answer.Dir) : '';
  if (root === '') throw new Error(`go mod download returned no folder for ${toolchain}`);
  // Module archives carry no file modes: without this the programs are not executable.
  const tools = path.join(root, 'pkg/tool', system.replace('-', '_'));
  for (const programs of [path.join(root, 'bin'), tools]) {
    for (const name of readdirSync(programs)) chmodSync(path.join(programs, name), 0o755);
  }
  return path.join(root, 'bin/go');
}

function runGo(go: string, words: readonly string[], folder: string): string {
  const outcome = spawnSync(go, words, {
    cwd: folder,
    env: goEnvironment(),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 2],
  });
  if (outcome.status !== 0) throw new Error(`go ${words.slice(0, 2).join(' ')} failed`);
  return outcome.stdout;
}

function goEnvironment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    CGO_ENABLED: '0',
    GOFLAGS: '-mod=mod',
    GOTOOLCHAIN: 'auto',
    GOWORK: 'off',
  };
}
