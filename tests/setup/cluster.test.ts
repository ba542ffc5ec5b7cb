/** `npm run setup`, `npm run cluster` and `npm start` as a newcomer uses them, in a fresh copy, as an ordinary user, with crashes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { processOf, readRecord } from '../../scripts/local/cluster/process.ts';
import { Hopeless, until } from '../support/until.ts';
import { FreshCopy } from './fresh-copy.ts';
import type { Outcome } from './fresh-copy.ts';

/**
 * "A second run skips everything in a second"; twice that, and of processor time: other tests and servers that share
 * the machine slow everything down, which proves nothing about set-up.
 */
const SECOND_RUN_SECONDS = 2;

let copy: FreshCopy;

beforeAll(() => {
  copy = new FreshCopy();
});
afterAll(() => {
  copy[Symbol.dispose]();
});

test('before set-up a command says that set-up has to run', () => {
  expect(copy.run('writer')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('npm run setup') as string,
  });
});

test('npm ci works in a fresh copy, and without the Temporal CLI cluster asks for set-up', () => {
  const installed = copy.installPackages();
  expect(installed.code, installed.stderr).toBe(0);
  expect(copy.withoutTemporal('cluster', 'up')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('walferry setup') as string,
  });
});

test('set-up writes an environment that works from a path with a space and a quote', () => {
  const first = copy.run('setup');
  expect(first.code, first.stderr).toBe(0);
  const shown = copy.shell('printf "%s\\n" "$PGSERVICEFILE" "$PGPASSFILE" && temporal --version');
  const lines = shown.stdout.split('\n');
  expect(lines.slice(0, 2)).toEqual([
    path.join(copy.folder, '.local/pg_service.conf'),
    path.join(copy.folder, '.local/pgpass'),
  ]);
  expect(lines[2]).toMatch(/^temporal version 1\./);
});

test('a second run of set-up changes nothing and is quick', () => {
  const before = readFileSync(path.join(copy.folder, '.local/env'), 'utf8');
  const seconds = [1, 2, 3].map(() =>
    processorSeconds(copy.shell(`node scripts/walferry.mjs setup && times`)),
  );
  expect(readFileSync(path.join(copy.folder, '.local/env'), 'utf8')).toBe(before);
  expect(Math.min(...seconds)).toBeLessThan(SECOND_RUN_SECONDS);
});

test('up starts everything and can be repeated; status shows it', () => {
  expect(copy.run('cluster', 'status').code).toBe(1);
  const up = copy.run('cluster', 'up');
  expect(up.code, up.stderr).toBe(0);
  expect(up.stdout).toContain('Web UI: http://127.0.0.1:');
  const pids = ['source', 'target', 'temporal'].map(pid);
  expect(copy.run('cluster', 'up').code).toBe(0);
  expect(['source', 'target', 'temporal'].map(pid)).toEqual(pids);
  const status = copy.run('cluster', 'status');
  expect(status.code).toBe(0);
  expect(status.stdout).toMatch(/^Web UI: http:\/\/127\.0\.0\.1:\d+$/m);
  expect(sql('source', 'show wal_level')).toBe('logical');
  expect(sql('source', 'create table kept as select 1 as id')).toBe('SELECT 1');
  sql('source', "select pg_create_logical_replication_slot('probe', 'wal2json')");
  sql('source', "select pg_drop_replication_slot('probe')");
  expect(sql('target', 'select current_database()')).toBe('app');
  const start = copy.shell(
    'temporal workflow start --type none --task-queue none --workflow-id kept',
  );
  expect(start.code, start.stderr).toBe(0);
});

test('without the password every login is refused', () => {
  const refused = copy.shell('PGPASSFILE=/nonexistent psql -w service=source -c "select 1"');
  expect(refused.stderr).toContain('no password supplied');
});

test('after SIGKILL to a database and to Temporal, up brings both back with their data', () => {
  for (const name of ['source', 'temporal']) process.kill(pid(name), 'SIGKILL');
  const status = copy.run('cluster', 'status');
  expect(status.code).toBe(1);
  expect(status.stdout).toMatch(/^source +down/m);
  expect(status.stdout).toMatch(/^target +up/m);
  expect(status.stdout).toMatch(/^temporal +down/m);
  const up = copy.run('cluster', 'up');
  expect(up.code, up.stderr).toBe(0);
  expect(sql('source', 'select id from kept')).toBe('1');
  const found = copy.shell('temporal workflow describe -w kept');
  expect(found.code, found.stderr).toBe(0);
});

test('down ends every process; a stale pid file and a foreign process on the port do not stop the next up', async () => {
  const pids = ['source', 'target', 'temporal'].map(pid);
  expect(copy.run('cluster', 'down').code).toBe(0);
  expect(pids.map(processOf)).toEqual([undefined, undefined, undefined]);

  // As after a reboot: other processes now have our servers' process ids.
  // Of the same user: PostgreSQL itself detects a process id of another user.
  const bystander = spawn('sleep', ['300'], { ...copy.account, cwd: '/', stdio: 'ignore' });
  const stranger = createServer();
  try {
    const data = path.join(copy.folder, '.local/source/data');
    writeFileSync(path.join(data, 'postmaster.pid'), `${bystander.pid}\n${data}\n`);
    const record = path.join(copy.folder, '.local/target/server.json');
    const target = readRecord(record);
    writeFileSync(record, JSON.stringify({ ...target, pid: bystander.pid }));
    const taken = Number(readRecord(path.join(copy.folder, '.local/source/server.json'))?.['port']);
    stranger.listen(taken, '127.0.0.1');
    await once(stranger, 'listening');

    const up = copy.run('cluster', 'up');
    expect(up.code, up.stderr).toBe(0);
    expect(up.stdout).not.toContain(`:${taken} `);
    expect(sql('source', 'select id from kept')).toBe('1');
    expect(copy.run('cluster', 'down').code).toBe(0);
    expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
  } finally {
    bystander.kill();
    stranger.close();
  }
});

test('wipe removes the data', () => {
  expect(copy.run('cluster', 'wipe').code).toBe(0);
  for (const name of ['source', 'target', 'temporal']) {
    expect(existsSync(path.join(copy.folder, '.local', name))).toBe(false);
  }
});

test('two ups at once on a wiped cluster start each server once, and everything works', async () => {
  const both = [copy.start('cluster', 'up'), copy.start('cluster', 'up')].map(async (running) => {
    let said = '';
    running.stdout?.on('data', (data: Buffer) => (said += data.toString()));
    const [code] = (await once(running, 'close')) as [number];
    expect(code, said).toBe(0);
    return said;
  });
  const [first, second] = await Promise.all(both);
  // Both report the same processes at the same addresses.
  expect(second).toBe(first);
  expect(copy.run('cluster', 'status').code).toBe(0);
  expect(['source', 'target'].map((name) => sql(name, 'select current_database()'))).toEqual([
    'app',
    'app',
  ]);
  expect(copy.run('cluster', 'down').code).toBe(0);
});

test('npm start right after a crash of an earlier run, as an ordinary user: kills, verification, cutover, way back, and nothing is left', async () => {
  // Enough chunks for a kill in the copy.
  const words = ['demo', '--rows', '200000', '--rate', '200'];
  const crashed = new Said(copy.start(...words));
  await crashed.says('started in its place');
  crashed.process.kill('SIGKILL');
  await crashed.ended;
  expect(processesOf(copy.folder).length).toBeGreaterThan(0);

  const demo = new Said(copy.start(...words));
  const code = await demo.ended;
  const { said } = demo;
  expect(code, said).toBe(0);
  expect(said).toContain('terminating workflow demo-');
  expect(said).toContain("--static-summary 'demo: source to target, under load'");
  expect(said).toMatch(/Web UI: http:\S+\/namespaces\/default\/workflows\/demo-/);
  const [, done, kept] =
    /of the (\d+) from before the kill (\d+) were not repeated/.exec(said) ?? [];
  expect(Number(done)).toBeGreaterThan(0);
  expect(kept).toBe(done);
  expect(said).toMatch(/kills survived +│ 2 \(copy, stream\)/);
  expect(said).toMatch(/Equal: every row is the same on both sides \(5 tables, /);
  expect(said).toMatch(/Cutover complete: writes were stopped for [\d.]+ s\. /);
  // The application measured it, too: at least one of its writes was refused, and it moved by itself.
  expect(said).toMatch(
    /writes to "target" now: [\d.]+ s without a write, [1-9]\d* refused \(SQLSTATE 25006\)/,
  );
  expect(said).toMatch(/[1-9]\d* transactions of "target" are on "source" already/);
  expect(said).toMatch(/Switched back to "source": writes were stopped for [\d.]+ s\. /);
  expect(said).toMatch(/on "target" it wrote .* [1-9]\d* refused with 25006/);
  expect(said).toMatch(/in the end it wrote [1-9]\d* changes .* 0 refused with 25006/);
  expect(said).toMatch(/removed the fence of demo-\S+ \(\S+\) on "target"/);
  expect(said).toMatch(/ledger +│ holds, [\d,]+ commits/);
  expect(said).toMatch(/equal +│ yes/);
  expect(said).not.toContain('\u001b');
  expect(processesOf(copy.folder)).toEqual([]);
  expect(copy.run('cluster', 'status').stdout).not.toMatch(/ up /);
}, 480_000);

test('Ctrl-C in the middle of npm start ends everything with code 130', async () => {
  const demo = new Said(copy.start('demo', '--rows', '1000'));
  await demo.says('Web UI: ');
  demo.process.kill('SIGINT');
  expect(await demo.ended, demo.said).toBe(130);
  expect(demo.said).toContain('interrupted: cleaning up');
  expect(processesOf(copy.folder)).toEqual([]);
}, 240_000);

test.each(['node', 'npm'] as const)(
  'a command begun by %s gets the signals and the environment, and passes on the exit code',
  async (by) => {
    const script = `
    process.on('SIGTERM', () => { console.log('terminated'); process.exit(7); });
    setInterval(() => undefined, 1000);
    console.log(process.env.PGSERVICEFILE, process.env.TEMPORAL_ADDRESS);`;
    // Instead of a command that uses the local environment.
    const program = path.join(copy.folder, 'scripts/program.ts');
    const before = readFileSync(program);
    writeFileSync(program, script);
    try {
      const running = by === 'npm' ? copy.startByNpm('watch') : copy.start('watch');
      let output = '';
      running.stdout?.on('data', (data: Buffer) => (output += data.toString()));
      await until('the command to begin', () => output.includes('127.0.0.1:'));
      expect(output).toContain(path.join(copy.folder, '.local/pg_service.conf'));
      running.kill('SIGTERM');
      const [code] = (await once(running, 'exit')) as [number];
      expect(output).toContain('terminated');
      expect(code).toBe(7);
    } finally {
      // The copy is wiped by this program.
      writeFileSync(program, before);
    }
  },
);

/** A process of the copy, and everything that it prints. */
class Said {
  readonly process: ChildProcess;
  readonly ended: Promise<number | null>;
  said = '';

  constructor(running: ChildProcess) {
    this.process = running;
    running.stdout?.setEncoding('utf8').on('data', (text: string) => (this.said += text));
    this.ended = once(running, 'close').then(() => running.exitCode);
  }

  async says(words: string): Promise<void> {
    const ended = () => new Hopeless(`ended early:\n${this.said}`);
    await until(
      `"${words}"`,
      () => {
        if (this.process.exitCode !== null) throw ended();
        return this.said.includes(words);
      },
      { seconds: 240 },
    );
  }
}

/** Command lines of living processes that name the folder. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const line = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return line.includes(folder) ? [line] : [];
      } catch {
        return []; // it ended between reading the folder and reading the file
      }
    });
}

/** User and system time of the commands before `times`, from its last line: `0m0.740s 0m0.100s`. */
function processorSeconds({ code, stdout, stderr }: Outcome): number {
  expect(code, stderr).toBe(0);
  const times = stdout.trim().split('\n').at(-1) ?? '';
  const parts = [...times.matchAll(/(\d+)m([\d.]+)s/g)];
  expect(parts).toHaveLength(2);
  return parts.reduce((sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest), 0);
}

function pid(name: string): number {
  const record = readRecord(path.join(copy.folder, '.local', name, 'server.json'));
  return Number(record?.['pid']);
}

function sql(service: string, text: string): string {
  const answer = copy.shell(`psql service=${service} -At -c "${text}"`);
  expect(answer.code, answer.stderr).toBe(0);
  return answer.stdout.trim();
}
