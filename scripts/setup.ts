/** `npm run setup`: installs everything that walferry needs on this machine, or says what to install by hand. */
import { Command } from 'commander';
import { SetupError, setUp } from './setup/set-up.ts';
import { fetchVersions, findOther, OTHER_MAJORS } from './setup/versions.ts';

const command = new Command('npm run setup --')
  .description(
    'Finds or installs PostgreSQL (15 or newer, with wal2json) and the Temporal CLI, and writes .local/env.\n' +
      'Asks no questions, starts no server, and changes nothing when everything is installed.',
  )
  .option(
    '--versions',
    'also fetch PostgreSQL 17 and 18 for the tests of migrations between versions',
  )
  .action(async (options: { versions?: true }) => {
    try {
      await setUp();
      if (options.versions) {
        fetchVersions();
        for (const major of OTHER_MAJORS) {
          const found = findOther(major);
          if (found) console.log(`PostgreSQL ${found.version}: ${found.folder}`);
        }
      }
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      console.error(`walferry: ${error.message}`);
      process.exitCode = 1;
    }
  });

await command.parseAsync();
