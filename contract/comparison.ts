/** What a cutover compares while no one writes. Pure. */

/** `exact` counts rows; `changed` and `full` compare rows in addition. The default is the first. */
export const COMPARISONS = ['changed', 'full', 'exact', 'off'] as const;
export type Comparison = (typeof COMPARISONS)[number];
