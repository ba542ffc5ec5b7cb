/** How a way back ended: what the common ending has to know, and to say. */
import type { DefinitionReport } from '../contract/definition.ts';
import type { Reason } from './state/reason.ts';

export interface WayBackEnd {
  /** The application is on the old database again. */
  returned?: true;
  /** What was found on the new database after the return, because of which its slot stays. */
  kept?: Reason | null;
  /** In which objects the old database differed before the switch back. */
  definitions?: DefinitionReport;
  /** What became of the old database when no one returned: in one sentence, and what is left there. */
  oldDatabase?: { readonly text: string; readonly left: readonly string[] };
}
