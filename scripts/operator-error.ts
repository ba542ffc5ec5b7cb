/** An error that a person at the terminal can act on: printed as one line, without a stack. */
export class OperatorError extends Error {
  override readonly name: string = 'OperatorError';
}

/** The exit code of every error; 1 is a result, such as "different" or "refused". */
export const ERROR = 2;
