import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';

/** A file that is made while it is sent; its stream fails when what was read is not what was written. */
export type ServedFile = { readonly stream: Readable; readonly filename: string; readonly bytes: number };

/**
 * Streams a file. The length is announced, so that a stream that fails in the middle leaves the client with less than it was promised:
 * no client takes that for a complete file.
 */
export async function sendFile(request: Request, response: Response, file: ServedFile): Promise<void> {
  // Read as ASCII by every client; the name comes from a manifest, which holds what a user once typed.
  const plain = file.filename.replaceAll(/[^A-Za-z0-9._-]/g, '_');
  response.status(200);
  response.set({
    'Content-Type': 'application/octet-stream',
    'Content-Disposition': `attachment; filename="${plain}"; filename*=UTF-8''${encodeURIComponent(file.filename)}`,
    'Content-Length': String(file.bytes),
  });
  if (request.method === 'HEAD') {
    file.stream.destroy();
    response.end();
    return;
  }
  await pipeline(file.stream, response);
}
