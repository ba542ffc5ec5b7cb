/** A comparison of definitions in words: answers of `verify`, Current Details, `walferry watch`. Pure. */
import {
  countDifferences,
  wordDifference,
  type ComparedDefinitions,
  type DefinitionReport,
} from '../contract/definition.ts';
import { listed } from '../contract/listed.ts';
import { compareCommand } from '../contract/shell-command.ts';
import type { Progress } from '../contract/progress.ts';
import { counted, moment } from './wording.ts';

/** Names per sentence; the remaining ones are counted. */
const SHOWN = 5;

/** For the answer of `verify`, with a blank before it. */
export function definitionSentence(report: DefinitionReport): string {
  const total = countDifferences(report);
  const { differences, notCompared } = report;
  const unknown =
    notCompared.length === 0
      ? ''
      : ` Printed differently by the two versions, so compare by hand: ${listed(notCompared, SHOWN)}.`;
  const views = viewSentence(report);
  if (total === 0) return ` Definitions do not differ.${unknown}${views}`;
  const names = listed(differences.map(wordDifference), SHOWN, '; ', total);
  return ` The definitions have ${countText(report)}: ${names}.${unknown}${views}`;
}

/** The contents of materialized views, with a blank before it. */
function viewSentence({ views }: DefinitionReport): string {
  if (views === undefined || views.equal + views.found.length === 0) return '';
  const { equal, found, more } = views;
  const same =
    equal === 0
      ? ''
      : ` ${counted(equal, 'materialized view')} ${equal === 1 ? 'shows' : 'show'} the same rows on both sides.`;
  if (found.length === 0) return same;
  const names = listed(found.map(wordDifference), SHOWN, '; ', found.length + more);
  return `${same} Materialized views: ${names}.`;
}

/** `3 differences, 1 of them makes the target wrong`. */
function countText(report: DefinitionReport): string {
  const { wrong = 0 } = report;
  const total = counted(countDifferences(report), 'difference');
  if (wrong === 0) return total;
  return `${total}, ${wrong} of them ${wrong === 1 ? 'makes' : 'make'} the target wrong`;
}

type Shown = Pick<Progress, 'source' | 'target'> & {
  readonly definitions?: ComparedDefinitions;
};

/** What differs, and the command that names everything with its SQL; no line while nothing was compared. */
export function definitionLines(
  workflowId: string,
  { definitions, source, target }: Shown,
): string[] {
  if (definitions === undefined) return [];
  const { report, at } = definitions;
  if (countDifferences(report) === 0) return [`definitions do not differ, ${moment(at)}`];
  return [
    `definitions have ${countText(report)}, ${moment(at)}; all, with SQL: ${compareCommand({ source, target }, workflowId)}`,
  ];
}
