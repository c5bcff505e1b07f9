import type { SliceRow } from '../../catalog/runs/slices.js';
import type { StoredSlice } from '../../storage/slice-record.js';

/** A stored slice as the catalog keeps it. */
export function rowOf({ record, recordKey, recordSha256 }: StoredSlice): SliceRow {
  return {
    fromSeq: record.fromSeq,
    seq: record.seq,
    file: record.file,
    offset: record.offset,
    bytes: record.object.bytes,
    storedBytes: record.object.storedBytes,
    endsFile: record.endsFile,
    startPosition: record.startPosition,
    endPosition: record.endPosition,
    firstCommitAt: record.firstCommitAt,
    lastCommitAt: record.lastCommitAt,
    coversTo: record.coversTo,
    sha256: record.object.sha256,
    previous: record.previous,
    recordSha256,
    recordKey,
    objectKey: record.object.key,
  };
}
