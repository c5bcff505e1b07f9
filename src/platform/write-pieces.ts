import type { FileHandle } from 'node:fs/promises';

/**
 * What is written at a time, in bytes. For larger writes the kernel takes memory in large pieces: those are what a virtual machine has given
 * back to its host, and filling them took three times as long (docs/performance.md).
 */
export const PIECE_BYTES = 64 * 1024;

/** Appends all of `bytes` to an open file. */
export async function writePieces(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; )
    at += (await file.write(bytes, at, Math.min(PIECE_BYTES, bytes.length - at))).bytesWritten;
}
