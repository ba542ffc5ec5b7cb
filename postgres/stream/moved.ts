/** The source's catalog is not what the lease began with: it begins anew, from the last position that was stored. */
import type { Unsettled } from './filter.ts';

/** A signal between the parts of the stream, never shown: the next reading of the plan says what happened. */
export class CatalogMoved extends Error {
  override readonly name = 'CatalogMoved';
  /** The change that showed it; null when a look before a commit did. */
  readonly met: Unsettled | null;

  constructor(met: Unsettled | null) {
    super('the catalog of the source has moved on');
    this.met = met;
  }
}
