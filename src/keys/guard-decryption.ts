import type { Duplex, Transform } from 'node:stream';

type Callback = (error?: Error | null, data?: unknown) => void;
type Guarded = Transform & {
  _transform(chunk: Buffer, encoding: BufferEncoding, callback: Callback): unknown;
  readonly _readableState?: { readonly pipes?: unknown };
};

/**
 * Turns what the SDK's inner streams throw into an ordinary stream error.
 *
 * `VerifyStream` checks frame headers inside `setImmediate`, outside of every try: a damaged sequence number or frame length at an
 * unlucky place of a chunk would be an uncaught exception, and one flipped byte in a store would end the whole worker. The SDK gives no
 * access to these streams, so they are found along its pipes; a version that is built otherwise is refused instead of left unguarded.
 */
export function guardDecryption(stream: Duplex): Duplex {
  const head = (stream as Duplex & { readonly _writable?: Guarded })._writable;
  const verify = nextPipe(head);
  const decipher = nextPipe(verify);
  if (!verify || !decipher) throw new Error('The AWS Encryption SDK is not of the version this guard was made for.');
  guardTransform(verify);
  guardTransform(decipher);
  return stream;
}

function nextPipe(stream: Guarded | undefined): Guarded | undefined {
  const pipes = stream?._readableState?.pipes;
  const next: unknown = Array.isArray(pipes) ? pipes[0] : pipes;
  return next && typeof (next as Guarded)._transform === 'function' ? (next as Guarded) : undefined;
}

function guardTransform(stream: Guarded): void {
  const transform = stream._transform;
  stream._transform = function (chunk, encoding, callback) {
    // Once broken, stay broken: the SDK's state is undefined after a throw.
    if (stream.destroyed) return undefined;
    try {
      return transform.call(this, chunk, encoding, callback);
    } catch (error) {
      stream.destroy(error instanceof Error ? error : new Error(String(error)));
      return undefined;
    }
  };
}
