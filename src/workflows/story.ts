import type { TypedSearchAttributes } from '@temporalio/common';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { searchAttributeNames } from './names.js';

/** Typed keys of our search attributes. */
export const searchAttributeKeys = {
  database: defineSearchAttributeKey(searchAttributeNames.database, SearchAttributeType.KEYWORD),
  plan: defineSearchAttributeKey(searchAttributeNames.plan, SearchAttributeType.KEYWORD),
  kind: defineSearchAttributeKey(searchAttributeNames.kind, SearchAttributeType.KEYWORD),
  status: defineSearchAttributeKey(searchAttributeNames.status, SearchAttributeType.KEYWORD),
};

/** The attributes given at the start; whoever starts a run sets them only where they are registered. */
export function ownSearchAttributes(): TypedSearchAttributes {
  return workflowInfo().typedSearchAttributes;
}

/** Tells the Web UI what a run is doing: one line per phase, the last one is where it stands. */
export class Story {
  private readonly lines: string[] = [];
  private moment: string | null = null;

  tell(line: string): void {
    this.lines.push(line);
    this.show();
  }

  /** What the step under way has come to; replaced by the next, gone with null. */
  now(moment: string | null): void {
    this.moment = moment;
    this.show();
  }

  private show(): void {
    // The UI shows Markdown; a run with hundreds of attempts must not grow its answer without bound.
    const lines = this.lines.slice(-30).map((text) => `- ${text}`);
    if (this.moment !== null) lines.push(`- Now: ${this.moment}`);
    setCurrentDetails(lines.join('\n'));
  }

  /**
   * Sets the status attribute, if the run was started with one: that proves that the namespace knows it. An unknown attribute
   * would fail the workflow task again and again.
   */
  status(status: string): void {
    if (ownSearchAttributes().get(searchAttributeKeys.status) === undefined) return;
    upsertSearchAttributes([{ key: searchAttributeKeys.status, value: status }]);
  }
}

/** `1.5 GiB`, for people. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `52,445 rows in 7 tables`, or that it is not known. */
export function contentText(content: { tables: number | null; rows: string | null }): string {
  if (content.tables === null || content.rows === null) return 'content not counted';
  return `${countText(content.rows, 'row')} in ${countText(content.tables, 'table')}`;
}

/** `1 table`, `52,445 rows`. */
export function countText(count: number | string, noun: string): string {
  const digits = String(count).replace(/\B(?=(\d{3})+$)/g, ',');
  return `${digits} ${noun}${digits === '1' ? '' : 's'}`;
}

/** How long a swap kept applications out, in seconds. Never `0.0 s`: a pause too short to print was one all the same. */
export function shutOutText(seconds: number): string {
  return seconds < 0.1 ? 'less than 0.1 s' : `${seconds.toFixed(1)} s`;
}
