/**
 * `walferry completion bash|zsh`: a script for the shell, derived from the program's own commands and options. Nothing runs
 * walferry at a TAB, which would delay every key by the start of Node.
 */
import { Argument, type Command } from 'commander';

export function declareCompletion(program: Command): void {
  program
    .command('completion')
    .summary('print a completion script for bash or zsh')
    .description('Prints a script that completes commands, options and their values.')
    .addArgument(new Argument('<shell>', 'the shell').choices(['bash', 'zsh']))
    .addHelpText(
      'after',
      `
Examples:
  source <(walferry completion bash)      in ~/.bashrc
  source <(walferry completion zsh)       in ~/.zshrc, after compinit`,
    )
    .action((shell: 'bash' | 'zsh') =>
      console.log(shell === 'bash' ? bash(program) : zsh(program)),
    );
}

function bash(program: Command): string {
  return `_walferry() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} words=
  if (( COMP_CWORD == 1 )); then words='${wordsOf(program)}'
  else case "\${COMP_WORDS[1]} $before" in
${valueCases(program)}
    *) case "\${COMP_WORDS[1]}" in
${program.commands.map((command) => `      ${command.name()}) words='${wordsOf(command)}' ;;`).join('\n')}
    esac ;;
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _walferry walferry`;
}

/** zsh runs completions for bash itself. */
function zsh(program: Command): string {
  return `autoload -U +X bashcompinit && bashcompinit\n${bash(program)}`;
}

/** Subcommands, fixed values of the first argument, and options. */
function wordsOf(command: Command): string {
  const given = command.createHelp();
  const values = command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []);
  const own = command.commands.map((sub) => sub.name());
  const options = command.commands.flatMap((sub) => given.visibleOptions(sub));
  const flags = [...given.visibleOptions(command), ...options].map(({ long }) => long ?? '');
  return [...new Set([...own, ...values, ...flags])].join(' ');
}

/** `worker --log-format` is followed by one of its values. */
function valueCases(program: Command): string {
  return program.commands
    .flatMap((command) =>
      command.options.flatMap(({ long, argChoices }) =>
        argChoices ? [`    '${command.name()} ${long}') words='${argChoices.join(' ')}' ;;`] : [],
      ),
    )
    .join('\n');
}
