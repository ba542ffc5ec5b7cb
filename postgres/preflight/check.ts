/**
 * A check of preflight: its codes with their documentation, the facts that it reads, and the rule from facts to findings.
 * Rules are pure, so they can be tested without a server.
 */
import type { MigrationError } from '../../contract/failure.ts';
import type { Finding, Level } from '../../contract/finding.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { EndpointFacts } from './facts/endpoint.ts';
import type { ProgramFacts } from './facts/programs.ts';
import type { Reader, Reading, SourceReading, TargetReading } from './reading.ts';
import type { RehearsalFacts } from './rehearsal/rehearsal-facts.ts';
import type { ServerFacts } from './server.ts';

export type Side = 'source' | 'target';

/**
 * A side that could not be read completely is null, and `failures` has the reason (or `endpoints`, behind a pooler). The other
 * side is still inspected, so that the operator gets all findings at once.
 */
export interface Facts<S = ServerFacts, T = ServerFacts> {
  readonly migration: Migration;
  readonly input: MigrationInput;
  readonly source: S | null;
  readonly target: T | null;
  /** The server behind each service; null if unreachable. */
  readonly endpoints: Readonly<Record<Side, EndpointFacts | null>>;
  readonly failures: readonly { readonly side: Side; readonly failure: MigrationError }[];
  readonly programs: readonly ProgramFacts[];
  /** Result of trying the schema on the target; null: not tried, other findings explain why. */
  readonly rehearsal: RehearsalFacts | null;
}

/** Facts by their names, which are the same for every check that reads them. */
export type Readers<Of> = Readonly<Record<string, Reader<Of>>>;
export type Values<R> = {
  readonly [Name in keyof R]: R[Name] extends Reader<never, infer T> ? T : never;
};
type None = Record<never, never>;

export interface Check<S = ServerFacts, T = ServerFacts> {
  readonly codes: Codes;
  /** Read from both sides alike. */
  readonly both?: Readers<Reading>;
  readonly source?: Readers<SourceReading>;
  /** Read after everything of the source. */
  readonly target?: Readers<TargetReading>;
  /** @param refused codes of the errors of the checks before it. */
  readonly find: (facts: Facts<S, T>, refused: ReadonlySet<string>) => Found;
}

/** Findings in their order; everything else stands for none, so that a rule can be a list of `condition && error(…)`. */
export type Found = Finding | false | null | undefined | readonly Found[];

/** Infers the facts of the rule from the readers. */
export function defineCheck<
  B extends Readers<Reading> = None,
  S extends Readers<SourceReading> = None,
  T extends Readers<TargetReading> = None,
>(
  check: Check<ServerFacts & Values<B & S>, ServerFacts & Values<B & T>> & {
    readonly both?: B;
    readonly source?: S;
    readonly target?: T;
  },
): Check<ServerFacts & Values<B & S>, ServerFacts & Values<B & T>> {
  return check;
}

/** What a rule finds on each side that could be read. */
export function onEachSide<F>(
  { source, target }: Readonly<Record<Side, F | null>>,
  rule: (side: Side, facts: F) => Found,
): Found {
  return [source !== null && rule('source', source), target !== null && rule('target', target)];
}

/** The documentation of a code; docs/errors.md is generated from it. */
export interface Code<L extends Level = Level> {
  readonly levels: readonly L[];
  readonly meaning: string;
}
export type Codes = Readonly<Record<string, Code>>;

export const refuses = (meaning: string): Code<'error'> => ({ levels: ['error'], meaning });
export const warns = (meaning: string): Code<'warning'> => ({ levels: ['warning'], meaning });
export const notes = (meaning: string): Code<'note'> => ({ levels: ['note'], meaning });
export const refusesOrWarns = (meaning: string): Code<'error' | 'warning'> => ({
  levels: ['error', 'warning'],
  meaning,
});

/** The same codes for either side: `source-` and `target-` in front. */
export function ofEachSide<const C extends Codes>(codes: C) {
  const named = Object.entries(codes).flatMap(([code, entry]) =>
    (['source', 'target'] as const).map((side) => [`${side}-${code}`, entry] as const),
  );
  return Object.fromEntries(named) as { readonly [K in keyof C & string as `${Side}-${K}`]: C[K] };
}

type Raise<C extends Codes, L extends Level> = (
  code: { [K in keyof C]: L extends C[K]['levels'][number] ? K : never }[keyof C],
  message: string,
  action: string,
) => Finding;

/** The codes, and functions that raise them: a code or level that is not documented here does not compile. */
export function raising<const C extends Codes>(codes: C) {
  const raise =
    <L extends Level>(level: L): Raise<C, L> =>
    (code, message, action) => ({ level, code: String(code), message, action });
  return { codes, error: raise('error'), warning: raise('warning'), note: raise('note') };
}
