/** docs/reference/settings.md lists every field of the input, from the schema that parses it, and what a worker reads. */
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { MOST_NAME_BYTES } from '../../contract/input.ts';
import { inputSchema } from '../../contract/input-schema.ts';
import { DEFAULT_SECONDS, MOST_SECONDS } from '../../postgres/fence/operator-command.ts';
import { MAX_COPIES, MAX_MIGRATIONS, TASK_QUEUE } from '../../workers/options.ts';
import { expectPage, generatedBy, table } from './page.ts';

/** The parts of a schema that the page shows; everything else is ignored. */
const Shown = v.looseObject({
  type: v.string(),
  entries: v.optional(v.record(v.string(), v.unknown())),
  wrapped: v.optional(v.unknown()),
  default: v.optional(v.unknown()),
  options: v.optional(v.array(v.string())),
  pipe: v.optional(
    v.array(v.looseObject({ type: v.string(), requirement: v.optional(v.unknown()) })),
  ),
});
const Described = v.custom<v.GenericSchema>((value) => v.is(Shown, value));

interface Setting {
  readonly path: string;
  readonly values: string;
  readonly preset: string;
  readonly text: string;
}

/** Every field below a schema, in its order. */
function settingsOf(path: string, raw: unknown): Setting[] {
  const { type, entries, wrapped, default: preset } = v.parse(Shown, raw);
  if (entries) {
    return Object.entries(entries).flatMap(([name, field]) =>
      settingsOf(path === '' ? name : `${path}.${name}`, field),
    );
  }
  if (type !== 'optional') return [settingOf(path, raw, type === 'optional' ? preset : undefined)];
  const inner = v.parse(Shown, wrapped);
  return inner.entries ? settingsOf(path, wrapped) : [settingOf(path, wrapped, preset)];
}

function settingOf(path: string, raw: unknown, preset: unknown): Setting {
  const text = v.getDescription(v.parse(Described, raw));
  return {
    ...{ path, values: valuesOf(raw), text: text ?? '' },
    preset: preset === undefined ? '' : `\`${JSON.stringify(preset)}\``,
  };
}

function valuesOf(raw: unknown): string {
  const { type, options, pipe = [] } = v.parse(Shown, raw);
  if (options) return options.map((option) => `\`"${option}"\``).join(', ');
  if (type === 'boolean') return '`true`, `false`';
  if (type === 'array') return 'list of texts';
  if (type !== 'number') return 'text';
  const flat = flattened(pipe);
  const bound = (kind: string) =>
    v.parse(v.optional(v.number()), flat.find((action) => action.type === kind)?.requirement);
  const most = bound('max_value');
  return most === undefined
    ? `number, ${bound('min_value')} or more`
    : `${bound('min_value')} to ${most}`;
}

/** A described schema is a pipe around the pipe with the bounds. */
function flattened(pipe: NonNullable<v.InferOutput<typeof Shown>['pipe']>): typeof pipe {
  return pipe.flatMap((action) => {
    const inner = v.safeParse(Shown, action);
    return inner.success && inner.output.pipe ? flattened(inner.output.pipe) : [action];
  });
}

const settings = settingsOf('', inputSchema);

test('every field of the input has a description that ends with a full stop', () => {
  expect(settings.length).toBeGreaterThan(25);
  expect(settings.filter(({ text }) => !text.endsWith('.'))).toEqual([]);
});

test('the page lists every field of the input with its values and default', async () => {
  const rows = settings.map(({ path, values, preset, text }) => [
    `\`${path}\``,
    values,
    preset,
    text,
  ]);
  await expectPage('settings.md', [
    '# Settings',
    '',
    generatedBy('settings-page.test.ts'),
    '',
    'Everything that can be set: the input of a migration, the options of a worker, and what a worker reads from its',
    'environment. Only `source` and `target` are required.',
    '',
    '## Input of a migration',
    '',
    `\`migration.json\`. All patterns and names in \`tables\` and \`ignore\` together may take up to ${MOST_NAME_BYTES} bytes. A field`,
    'that is not listed is refused. `ignore` names what you accept not to have; without it preflight refuses such a source.',
    'The update [`setLimits`](updates.md) changes `limits` while the migration runs;',
    '[limits and guard](../explanation/limits-and-guard.md) says how they work.',
    '',
    ...table(['field', 'values', 'default', 'meaning'], rows),
    '',
    'If the target has none of the selected tables, walferry creates them. If it has all of them, empty, it uses them as they',
    'are, with your indexes. Anything in between is refused by name. You always create the tables in',
    '`tables.viaPartitionRoot` yourself ([partitions that differ](../explanation/fidelity-ddl.md#partitions-that-differ)).',
    '',
    '## Options of a worker',
    '',
    ...table(
      ['option', 'default', 'meaning'],
      [
        ['`--task-queue`', `\`${TASK_QUEUE}\``, 'Task queue to poll.'],
        [
          '`--max-activities`',
          String(MAX_MIGRATIONS),
          'Open migrations at the same time: each takes one worker place while it copies or streams.',
        ],
        ['`--max-copies`', String(MAX_COPIES), 'Copies at the same time, of all migrations.'],
        ['`--log-format`', '`pretty` on a terminal, else `json`', 'Format of log lines.'],
        ['`--log-level`', '`info`', 'Lowest level that is logged.'],
      ],
    ),
    '',
    '## Environment of a worker',
    '',
    'The other commands read the same variables. In a checkout they take those that are not set from `.local/env`.',
    '',
    ...table(
      ['variable', 'meaning'],
      [
        ['`PGSERVICEFILE`', 'Service file with the databases; else `~/.pg_service.conf`.'],
        ['`PGPASSFILE`', 'Password file, mode 0600; else `~/.pgpass`.'],
        ['`PATH`', 'The first `pg_dump` and `pg_restore` on it are used.'],
        [
          '`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS_…`, `TEMPORAL_PROFILE`',
          'The Temporal server, as for the Temporal CLI; or a profile of `temporal.toml`.',
        ],
        [
          '`NODE_OPTIONS`',
          'Read by Node: `--max-old-space-size=6144` for a hundred thousand tables.',
        ],
        [
          '`WALFERRY_FENCE_CLOSE`, `WALFERRY_FENCE_OPEN`',
          'With `"fence": "command"`: absolute paths of the programs that stop the writes and give them back ([the fence](../explanation/fence.md#the-other-kinds)). No input can name a program. Set them on every worker.',
        ],
        [
          '`WALFERRY_FENCE_SECONDS`',
          `How long either may run before it is killed with its children, 1 to ${MOST_SECONDS}; ${DEFAULT_SECONDS} by default.`,
        ],
        [
          '`WALFERRY_AFTER_RELEASE`',
          'Absolute path of a program that runs after a cutover with a fence has released the target. It may run more than once. Set it on every worker.',
        ],
        [
          '`WALFERRY_AFTER_RELEASE_SECONDS`',
          'How long that program may run before it is killed with its children, 1 to 600; 60 by default.',
        ],
      ],
    ),
    '',
    '## Connection settings of a service',
    '',
    '`host`, `port`, `dbname`, `user`, `password`, `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `connect_timeout`,',
    "`application_name` and `options`, with libpq's meaning. Any other setting is refused (`InvalidService`).",
  ]);
});
