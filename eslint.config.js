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
  group: ['**/connection/session.ts'],
  importNames: ['connect', 'clientConfig'],
  message: 'Sessions of a migration are opened by postgres/identity/connect.ts.',
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
      ],
    },
  },
  { files: ['**/*.js', '**/*.mjs'], ...tseslint.configs.disableTypeChecked },
  { files: ['scripts/**', 'bench/**'], rules: { 'no-console': 'off' } },
  oneWay(
    'contract',
    ['postgres', 'workflows', 'activities', 'workers', 'scripts', 'tests'],
    [noTemporal, { group: ['node:*', 'pg', 'pg-*'], message: 'contract/ is pure.' }],
  ),
  oneWay(
    'postgres',
    ['workflows', 'activities', 'workers', 'scripts', 'tests'],
    [noTemporal, recognized],
  ),
  {
    ...oneWay('postgres', ['workflows', 'activities', 'workers', 'scripts', 'tests'], [noTemporal]),
    // Preflight runs before there is a migration; the walsender is identified before it starts.
    files: [
      'postgres/connection/**/*.ts',
      'postgres/identity/**/*.ts',
      'postgres/preflight/**/*.ts',
      'postgres/replication/reader.ts',
    ],
  },
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
    // The independent check must share no code with the copy that it checks.
    files: ['scripts/compare/**/*.ts', 'scripts/compare.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              // Nor indirectly: these folders use postgres/.
              group: [
                '**/postgres/**',
                '**/writer/**',
                '**/cleanup/**',
                '**/start/**',
                '**/tail/**',
                '**/watch/**',
              ],
              message: 'compare shares no code with the copy.',
            },
          ],
        },
      ],
    },
  },
);
