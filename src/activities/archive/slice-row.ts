import type { SliceRow } from '../../catalog/runs/slices.js';
import { sliceFactsOf } from '../../storage/slice-facts.js';
import type { StoredSlice } from '../../storage/slice-record.js';

/** A stored slice as the catalog keeps it. */
export const rowOf = (slice: StoredSlice): SliceRow => sliceFactsOf(slice);
