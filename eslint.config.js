import tseslint from 'typescript-eslint';

// Dependencies go one way: workers → activities → postgres → contract, workflows → contract.
// `banned` lists the folders that a folder must not import from (types included unless stated otherwise).
const oneWay = (folder, banned, extra = []) => ({
  files: [`${folder}/**/*.ts`],
  rules: {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      {
        patterns: [
          ...banned.map((name) => ({
            group: [`**/${name}/**`, `${name}/**`],
            message: `${folder}/ must not depend on ${name}/ (docs/explanation/architecture.md, "Folders").`,
          })),
          ...extra,
        ],
      },
    ],
  },
});

const noTemporal = {
  group: ['@temporalio/*'],
  message: 'Only workflows/, activities/, workers/ and scripts/ use Temporal.',
};

// No step of a migration talks to a server that it has not identified.
const recognized = {
  group: ['**/connection/connect.ts'],
  importNames: ['connect', 'clientConfig'],
  message: 'Sessions of a migration are opened by postgres/session/open.ts.',
};

/** The folders of postgres/, from the bottom up: each may import those before it. */
const ROOMS = [
  'connection',
  'catalog',
  'wal2json',
  'identity',
  'replication',
  'archive',
  'store',
  'session',
  'slot',
  'throttle',
  'guard',
  'dump',
  'schema',
  'apply',
  'drift',
  'snapshot',
  'stream',
  'verification',
  'fence',
  'definition',
  'cutover',
  'switchback',
  'readiness',
  'preflight',
];

/** Refuses imports from the rooms above this one. */
const above = (room, extra) =>
  oneWay(
    `postgres/${room}`,
    [
      ...['workflows', 'activities', 'workers', 'scripts', 'tests'],
      ...ROOMS.slice(ROOMS.indexOf(room) + 1),
    ],
    extra,
  );

/** `expect(late).rejects` of a promise that rejects while the test awaits something else: the run fails of an unhandled rejection. */
const observedRejections = {
  meta: { type: 'problem', schema: [] },
  create: (context) => ({
    'MemberExpression[property.name="rejects"] > CallExpression[callee.name="expect"] > Identifier.arguments'(
      name,
    ) {
      const variable = context.sourceCode
        .getScope(name)
        .references.find(({ identifier }) => identifier === name)?.resolved;
      const declared = variable?.defs[0];
      // A parameter, or one of several results: what made it has to observe it.
      if (declared?.type !== 'Variable' || declared.node.id.type !== 'Identifier') return;
      const { init } = declared.node;
      if (init === null) return;
      if (init.type === 'CallExpression' && init.callee.name === 'observed') return;
      const { body } = declared.parent.parent;
      const next = Array.isArray(body) ? body[body.indexOf(declared.parent) + 1] : undefined;
      if (next && next.range[0] <= name.range[0] && name.range[1] <= next.range[1]) return;
      context.report({
        node: name,
        message:
          'Declare it as observed(…) (tests/support/observed.ts): it may reject before it is awaited.',
      });
    },
  }),
};

export default tseslint.config(
  { ignores: ['node_modules', '.local', 'dist'] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['eslint.config.js', 'scripts/*.mjs'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      // Where a scope disposes of something, a promise that is returned unawaited may reject during that: the process dies of it.
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-console': 'error',
    },
  },
  {
    // Durations and deadlines are measured with performance.now(): the system time can be set, and a clock set back by
    // an hour would delay batches, heartbeats and deadlines by that hour.
    files: ['postgres/**/*.ts', 'activities/**/*.ts', 'workers/**/*.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        {
          object: 'Date',
          property: 'now',
          message: 'Use performance.now(): it never goes back.',
        },
      ],
      'no-restricted-syntax': [
        'error',
        {
          selector:
            'NewExpression[callee.name="Date"][arguments.length=0], CallExpression[callee.name="Date"]',
          message: 'Use performance.now(), or the clock of the server in question.',
        },
        {
          // It leaves out the names __proto__, prototype and constructor, which columns and schemas may have.
          selector: 'CallExpression[callee.object.name="v"][callee.property.name="record"]',
          message:
            'Use namedTexts of postgres/store/named-text.ts: v.record leaves out some names.',
        },
      ],
    },
  },
  { files: ['**/*.js', '**/*.mjs'], ...tseslint.configs.disableTypeChecked },
  { files: ['scripts/**', 'bench/**'], rules: { 'no-console': 'off' } },
  {
    files: ['tests/**/*.ts'],
    plugins: { walferry: { rules: { 'observed-rejections': observedRejections } } },
    rules: { 'walferry/observed-rejections': 'error' },
  },
  oneWay(
    'contract',
    ['postgres', 'workflows', 'activities', 'workers', 'scripts', 'tests'],
    [noTemporal, { group: ['node:*', 'pg', 'pg-*'], message: 'contract/ is pure.' }],
  ),
  ...ROOMS.map((room) => above(room, [noTemporal, recognized])),
  // Preflight runs before there is a migration, and the walsender is identified before it starts.
  ...['connection', 'identity', 'preflight'].map((room) => above(room, [noTemporal])),
  { ...above('replication', [noTemporal]), files: ['postgres/replication/wal-connection.ts'] },
  { ...above('session', [noTemporal]), files: ['postgres/session/open.ts'] },
  oneWay('activities', ['workflows', 'workers', 'scripts', 'tests'], [recognized]),
  oneWay('workers', ['scripts', 'tests']),
  oneWay(
    'workflows',
    ['postgres', 'workers', 'scripts', 'tests'],
    [
      {
        group: ['**/activities/**'],
        allowTypeImports: true,
        message: 'Workflow code may import types of activities only: it runs in a sandbox.',
      },
      {
        group: [
          'node:*',
          'pg',
          'pg-*',
          '@temporalio/client',
          '@temporalio/worker',
          '@temporalio/activity',
        ],
        message: 'Workflow code is deterministic: no Node builtins, no databases.',
      },
    ],
  ),
  {
    // The independent check must share no code with the copy that it checks, nor with anything that might use that code.
    files: ['scripts/compare/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^\\.\\./(?!operator-error\\.ts$)',
              message: 'compare shares no code with the copy: it imports its own folder only.',
            },
          ],
        },
      ],
    },
  },
  {
    // What runs against an operator's databases needs no servers of its own.
    files: ['cleanup', 'definitions', 'preflight', 'replay', 'report', 'tail', 'watch'].map(
      (folder) => `scripts/${folder}/**/*.ts`,
    ),
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: ['**/local/**', '**/command/**', '**/check/**', '**/tests/**'],
              message: 'The commands of an operator do not use local servers (scripts/README.md).',
            },
          ],
        },
      ],
    },
  },
  {
    // `walferry --help` must not load drivers and SDKs: what a command does is imported when it runs.
    files: ['scripts/command/**/*.ts', 'scripts/program.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: [
                '**/postgres/**',
                '**/workflows/**',
                '**/activities/**',
                '@temporalio/*',
                'pg',
              ],
              message: 'Import it in the folder of the command, which is loaded when it runs.',
            },
            {
              group: ['**/workers/worker.ts', '**/local/cluster/**'],
              allowTypeImports: true,
              message: 'Import it when the command runs.',
            },
          ],
        },
      ],
    },
  },
);
