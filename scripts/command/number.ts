/** A number among the words of a command. */
import { InvalidArgumentError } from 'commander';

/** A parser of whole numbers within these limits, for an option. */
export function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`must be a whole number from ${least} to ${most}.`);
  };
}
