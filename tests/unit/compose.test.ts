/**
 * No container engine is available to these tests, so docker-compose.yml is compared with what `walferry cluster`
 * does: a reader of docs/how-to must find the same names, ports and settings either way.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import {
  DATABASE,
  NAMESPACE,
  OUTPUT_PLUGIN_LIBRARIES,
  ROLE,
  SETTINGS,
  SIDES,
} from '../../scripts/local/cluster/settings.ts';
import { TEMPORAL_VERSION } from '../../scripts/local/setup/temporal-program.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

const Service = v.object({
  image: v.optional(v.string()),
  build: v.optional(
    v.object({
      context: v.string(),
      dockerfile: v.optional(v.string(), 'Dockerfile'),
      args: v.record(v.string(), v.string()),
    }),
  ),
  command: v.array(v.string()),
  environment: v.optional(v.record(v.string(), v.string()), {}),
  ports: v.optional(v.array(v.string()), []),
  volumes: v.optional(v.array(v.string()), []),
  profiles: v.optional(v.array(v.string())),
  healthcheck: v.optional(v.object({ test: v.array(v.string()) })),
  depends_on: v.optional(v.record(v.string(), v.object({ condition: v.string() })), {}),
});
const Compose = v.object({
  services: v.record(v.string(), Service),
  volumes: v.record(v.string(), v.null()),
});
const compose = v.parse(Compose, parse(text('docker-compose.yml'), { merge: true }));

test('the services are source, target, temporal and worker, and the writer as a profile', () => {
  expect(Object.keys(compose.services)).toEqual([...SIDES, 'temporal', 'worker', 'writer']);
  const onDemand = Object.entries(compose.services).filter(([, service]) => service.profiles);
  expect(onDemand.map(([name]) => name)).toEqual(['writer']);
});

test.each(SIDES)('%s has the settings, role and database of walferry cluster', (side) => {
  const { command, environment } = service(side);
  const pairs = command.filter((word) => word !== '-c').map((word) => word.split('='));
  expect(Object.fromEntries(pairs)).toEqual(SETTINGS[side]);
  expect(command.filter((word) => word === '-c')).toHaveLength(pairs.length);
  expect(environment).toMatchObject({ POSTGRES_USER: ROLE, POSTGRES_DB: DATABASE });
});

test('the source allows wal2json where the server asks for it, with the value of walferry cluster', () => {
  const folder = service('source').build?.context ?? '';
  const dockerfile = text(path.join(folder, 'Dockerfile'));
  expect(dockerfile).toContain('postgresql-${PG_MAJOR}-wal2json');
  expect(dockerfile).toContain('ENTRYPOINT ["allow-wal2json"]');
  expect(text(path.join(folder, 'allow-wal2json.sh'))).toContain(
    `"output_plugin_libraries=${OUTPUT_PLUGIN_LIBRARIES}"`,
  );
});

test('source, target and the worker take the same PostgreSQL, so that pg_dump is never too old', () => {
  const major = '${POSTGRES_MAJOR:-17}';
  expect(service('source').build?.args['POSTGRES_MAJOR']).toBe(major);
  expect(service('worker').build?.args['POSTGRES_MAJOR']).toBe(major);
  expect(service('target').build?.args['POSTGRES_MAJOR']).toBe(major);
});

test('Temporal is the version of set-up, keeps its workflows in a volume and has the usual ports', () => {
  const { image, command, ports, volumes } = service('temporal');
  expect(image).toBe(`temporalio/temporal:${TEMPORAL_VERSION}`);
  expect(ports).toEqual(['127.0.0.1:7233:7233', '127.0.0.1:8233:8233']);
  expect(option(command, '--port')).toBe('7233');
  expect(option(command, '--ui-port')).toBe('8233');
  expect(option(command, '--ip')).toBe('0.0.0.0');
  expect(option(command, '--namespace')).toBe(NAMESPACE);
  const home = volumes.map((volume) => volume.split(':')[1] ?? '');
  expect(home).toEqual([path.dirname(option(command, '--db-filename') ?? '')]);
  expect(service('worker').environment['TEMPORAL_ADDRESS']).toBe('temporal:7233');
});

test("the worker's services are source and target, with the compose file's host names", () => {
  const sections = text('docker/worker/pg_service.conf')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const expected = SIDES.flatMap((side) => [
    ...[`[${side}]`, `host=${side}`, 'port=5432', `dbname=${DATABASE}`, `user=${ROLE}`],
  ]);
  expect(sections).toEqual(expected);
  expect(text('docker/worker/start.sh')).toContain(`*:*:*:${ROLE}:`);
});

test('worker and writer start when all servers are healthy, and every server has a health check', () => {
  const servers = [...SIDES, 'temporal'];
  for (const server of servers) expect(service(server).healthcheck?.test[0]).toBe('CMD');
  for (const name of ['worker', 'writer']) {
    const waits = Object.entries(service(name).depends_on);
    expect(waits.map(([server]) => server)).toEqual(servers);
    for (const [, { condition }] of waits) expect(condition).toBe('service_healthy');
  }
});

test('every file that the images are built from exists, and starts existing commands', () => {
  for (const { build, command } of Object.values(compose.services)) {
    const [first = ''] = command;
    if (first.startsWith('w')) {
      expect(existsSync(path.join(ROOT, `scripts/command/${first}.ts`)), first).toBe(true);
    }
    if (!build) continue;
    const dockerfile = path.join(build.context, build.dockerfile);
    for (const [, from = ''] of text(dockerfile).matchAll(/^COPY (?:--chmod=\d+ )?(.+) \S+$/gm)) {
      if (from.startsWith('--from')) continue;
      for (const file of from.split(' ')) {
        expect(existsSync(path.join(ROOT, build.context, file)), file).toBe(true);
      }
    }
  }
  for (const script of ['docker/worker/start.sh', 'docker/postgres/allow-wal2json.sh']) {
    expect(statSync(path.join(ROOT, script)).mode & 0o111, `${script} can be run`).not.toBe(0);
  }
});

test('every volume that is used is declared', () => {
  const used = Object.values(compose.services).flatMap(({ volumes }) =>
    volumes.map((volume) => volume.split(':')[0]),
  );
  expect(used.sort()).toEqual(Object.keys(compose.volumes).sort());
});

function service(name: string): v.InferOutput<typeof Service> {
  const found = compose.services[name];
  if (!found) throw new Error(`docker-compose.yml has no service ${name}`);
  return found;
}

function option(command: readonly string[], name: string): string | undefined {
  return command[command.indexOf(name) + 1];
}

function text(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}
