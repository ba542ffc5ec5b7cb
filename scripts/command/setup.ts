/** `walferry setup`: installs what the local servers need on this machine, or says what to install by hand. */
import type { Command } from 'commander';

export function declareSetup(program: Command): void {
  program
    .command('setup')
    .summary('install PostgreSQL and the Temporal CLI for local servers')
    .description(
      'Finds or installs PostgreSQL (15 or newer, with wal2json) and the Temporal CLI, and writes the environment of the local\n' +
        'servers. Asks no questions, starts no server, and changes nothing when everything is installed.',
    )
    .option(
      '--versions',
      'also fetch PostgreSQL 13, 17 and 18 for the tests of migrations between versions',
    )
    .action(async (options: { versions?: true }) => {
      const { setUp } = await import('../local/setup/set-up.ts');
      await setUp();
      if (!options.versions) return;
      const { fetchVersions, findOther, OTHER_MAJORS } = await import('../local/setup/versions.ts');
      fetchVersions();
      for (const major of OTHER_MAJORS) {
        const found = findOther(major);
        if (found) console.log(`PostgreSQL ${found.version}: ${found.folder}`);
      }
    });
}
