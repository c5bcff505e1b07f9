import type { StoredSlice } from './slice-record.js';

/** What the catalog notes of a stored slice, as its record says it. */
export function sliceFactsOf({ record, recordKey, recordSha256 }: StoredSlice) {
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
