import { Duplex } from 'node:stream';

/**
 * Puts a stream of the AWS Encryption SDK behind one of Node's own, with back-pressure both ways.
 *
 * The SDK's encrypting stream must never be destroyed: inside it a pipeline without a callback throws "Premature close" where nobody can
 * catch it, so that cancelling a backup would end the worker. Here a destroyed outer stream lets the inner one run to its end, unread,
 * which also wipes its data key.
 */
export class AdoptedStream extends Duplex {
  private readonly inner: Duplex;

  constructor(inner: Duplex) {
    // Frame by frame: whoever reads a stream of bytes gets all that waits joined into a new buffer.
    super({ readableObjectMode: true, readableHighWaterMark: 2, writableHighWaterMark: 1024 * 1024 });
    this.inner = inner;
    inner.on('data', (chunk: Buffer) => {
      if (!this.destroyed && !this.push(chunk)) inner.pause();
    });
    inner.once('end', () => {
      if (!this.destroyed) this.push(null);
    });
    // Also after the end of the outer stream: an error event without a listener would be thrown.
    inner.on('error', (error: Error) => this.destroy(error));
    inner.pause();
  }

  override _read(): void {
    this.inner.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.inner.write(chunk)) callback();
    else this.inner.once('drain', () => callback());
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.inner.end();
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.inner.resume();
    this.inner.end();
    callback(error);
  }
}
