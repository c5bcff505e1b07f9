import type { Readable } from 'node:stream';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';

/** A file that is made while it is sent; its stream fails when what was read is not what was written. */
export type ServedFile = { readonly stream: Readable; readonly filename: string; readonly bytes: number };

/**
 * Passes everything on one chunk late. The hashes of a file are known only after its last byte: without this a corrupt file of the right
 * length would be out before its error, and a client would count it as complete.
 */
function holdBackLast(): Transform {
  let held: Buffer | undefined;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const ready = held;
      // An empty chunk held back would hold back nothing.
      if (chunk.length > 0) held = chunk;
      done(null, chunk.length > 0 ? ready : undefined);
    },
    // Only after an end without an error.
    flush(done) {
      done(null, held);
    },
  });
}

/** Waits for the first bytes or the end: what fails before can still be answered with a problem document. */
function untilReadable(stream: Readable): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.once('readable', resolve);
    stream.once('error', reject);
  });
}

/**
 * Streams a file. The length is announced, so that a stream that fails in the middle leaves the client with less than it was promised:
 * no client takes that for a complete file.
 */
export async function sendFile(request: Request, response: Response, file: ServedFile): Promise<void> {
  const checked = holdBackLast();
  const feeding = pipeline(file.stream, checked);
  // Its failure comes out of `checked` as well, which is where it is handled.
  feeding.catch(() => undefined);
  await untilReadable(checked);
  // Read as ASCII by every client; the name comes from a manifest, which holds what a user once typed.
  const plain = file.filename.replaceAll(/[^A-Za-z0-9._-]/g, '_');
  response.status(200);
  response.set({
    'Content-Type': 'application/octet-stream',
    'Content-Disposition': `attachment; filename="${plain}"; filename*=UTF-8''${encodeURIComponent(file.filename)}`,
    'Content-Length': String(file.bytes),
  });
  if (request.method === 'HEAD') {
    checked.destroy();
    response.end();
    return;
  }
  await pipeline(checked, response);
}
