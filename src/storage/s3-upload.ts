import type { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { ByteBudget } from './byte-budget.js';
import type { S3Action } from './s3-errors.js';
import { mapS3Error, s3Code } from './s3-errors.js';
import { Patience } from './s3-retry.js';

const PARTS_IN_FLIGHT = 4;
/** Removing an upload must be tried even when the run was cancelled, but not for ever. */
const CLEAN_UP_MS = 15_000;

export type S3Upload = {
  readonly client: S3Client;
  readonly bucket: string;
  /** Full key, prefix included. */
  readonly key: string;
  readonly at: (action: string) => S3Action;
  readonly budget: ByteBudget;
  readonly signal: AbortSignal;
  readonly patienceMs: number;
  readonly onBytes?: ((bytes: number) => void) | undefined;
};

/**
 * Uploads a stream of unknown size. Written here and not taken from lib-storage because that one buffers per upload without a limit
 * that several share, and allocates each part anew.
 *
 * Up to one part goes as a plain PUT. A failed part is sent again, its bytes are still in its buffer. On any
 * failure or abort nothing is visible and the multipart upload is removed. Throws the body's error as it is, the store's mapped.
 */
export async function uploadStream(body: Readable, upload: S3Upload): Promise<{ bytes: number }> {
  const parts = new PartSender(upload);
  let buffer: Buffer | null = null;
  let filled = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      let offset = 0;
      while (offset < chunk.length) {
        buffer ??= await upload.budget.take(parts.signal);
        const copied = chunk.copy(buffer, filled, offset);
        offset += copied;
        filled += copied;
        if (filled < buffer.length) continue;
        const full = buffer;
        buffer = null;
        filled = 0;
        await parts.send(full, full.length);
      }
    }
    const last = buffer;
    buffer = null;
    return await parts.finish(last, filled);
  } catch (error) {
    if (buffer) upload.budget.give(buffer, { reuse: true });
    // The body must not go on without a reader: its source (a dump tool) has to learn that nobody listens.
    body.destroy();
    await parts.abandon();
    if (upload.signal.aborted) throw upload.signal.reason;
    throw parts.failure ?? error;
  }
}

/** The parts of one upload on their way, at most four at a time. */
class PartSender {
  readonly signal: AbortSignal;
  /** The first error of a request, mapped; what fails after it is only its consequence. */
  failure: Error | null = null;
  private readonly stop = new AbortController();
  private readonly upload: S3Upload;
  private readonly inFlight = new Set<Promise<void>>();
  private readonly done: { ETag: string | undefined; PartNumber: number }[] = [];
  private uploadId: string | null = null;
  private sent = 0;
  private nextNumber = 1;

  constructor(upload: S3Upload) {
    this.upload = upload;
    this.signal = AbortSignal.any([upload.signal, this.stop.signal]);
  }

  /** Starts sending a full part; resolves when there is room for another. */
  async send(buffer: Buffer, bytes: number): Promise<void> {
    try {
      this.uploadId ??= await this.create();
    } catch (error) {
      this.upload.budget.give(buffer, { reuse: false });
      throw error;
    }
    const number = this.nextNumber++;
    const sending = this.sendPart(this.uploadId, number, buffer, bytes).finally(() => this.inFlight.delete(sending));
    this.inFlight.add(sending);
    // Seen through `failure` and the abort; without a handler of its own it would be an unhandled rejection.
    sending.catch(() => {});
    while (this.inFlight.size >= PARTS_IN_FLIGHT) await Promise.race(this.inFlight);
  }

  async finish(last: Buffer | null, bytes: number): Promise<{ bytes: number }> {
    if (this.uploadId === null) return this.putWhole(last, bytes);
    if (last) await this.send(last, bytes);
    await Promise.all(this.inFlight);
    await this.complete(this.uploadId);
    return { bytes: this.sent };
  }

  /** Stops what is on its way and removes the upload; a store that does not answer leaves it to the sweep. */
  async abandon(): Promise<void> {
    this.stop.abort(this.failure ?? new Error('The upload was given up.'));
    await Promise.allSettled(this.inFlight);
    if (this.uploadId === null) return;
    const { client, bucket, key } = this.upload;
    const command = new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: this.uploadId });
    await client.send(command, { abortSignal: AbortSignal.timeout(CLEAN_UP_MS) }).catch(() => {});
  }

  private async create(): Promise<string> {
    const { client, bucket, key } = this.upload;
    const answer = await this.run('s3:PutObject', () =>
      client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: key }), { abortSignal: this.signal }),
    );
    if (!answer.UploadId) throw new TypeError('The store gave no id for a multipart upload.');
    return answer.UploadId;
  }

  private async sendPart(uploadId: string, number: number, buffer: Buffer, bytes: number): Promise<void> {
    const { client, bucket, key, budget } = this.upload;
    let reuse = false;
    try {
      const answer = await this.run('s3:PutObject', () =>
        client.send(
          new UploadPartCommand({
            Bucket: bucket,
            Key: key,
            UploadId: uploadId,
            PartNumber: number,
            Body: buffer.subarray(0, bytes),
            ContentLength: bytes,
          }),
          { abortSignal: this.signal },
        ),
      );
      reuse = true;
      this.done.push({ ETag: answer.ETag, PartNumber: number });
      this.addSent(bytes);
    } finally {
      budget.give(buffer, { reuse });
    }
  }

  private async putWhole(buffer: Buffer | null, bytes: number): Promise<{ bytes: number }> {
    const { client, bucket, key, budget } = this.upload;
    let reuse = false;
    try {
      await this.run('s3:PutObject', () =>
        client.send(
          new PutObjectCommand({
            Bucket: bucket,
            Key: key,
            Body: buffer?.subarray(0, bytes) ?? Buffer.alloc(0),
            ContentLength: bytes,
          }),
          { abortSignal: this.signal },
        ),
      );
      reuse = true;
      this.addSent(bytes);
    } finally {
      if (buffer) budget.give(buffer, { reuse });
    }
    return { bytes };
  }

  private async complete(uploadId: string): Promise<void> {
    const { client, bucket, key } = this.upload;
    const Parts = this.done.sort((a, b) => a.PartNumber - b.PartNumber);
    const command = new CompleteMultipartUploadCommand({
      Bucket: bucket,
      Key: key,
      UploadId: uploadId,
      MultipartUpload: { Parts },
    });
    await this.run('s3:PutObject', async () => {
      try {
        await client.send(command, { abortSignal: this.signal });
      } catch (error) {
        // The answer to a first try may have been lost: then the second finds no upload, but the object.
        if (s3Code(error) !== 'NoSuchUpload') throw error;
        const head = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }), {
          abortSignal: this.signal,
        });
        if (head.ContentLength !== this.sent) throw error;
      }
    });
  }

  private addSent(bytes: number): void {
    this.sent += bytes;
    this.upload.onBytes?.(this.sent);
  }

  private async run<T>(action: string, request: () => Promise<T>): Promise<T> {
    const patience = new Patience(this.upload.patienceMs, this.signal);
    for (;;) {
      try {
        return await request();
      } catch (error) {
        const mapped = mapS3Error(error, this.upload.at(action));
        try {
          this.signal.throwIfAborted();
          await patience.wait(mapped);
        } catch {
          throw this.fail(mapped);
        }
      }
    }
  }

  /** Ends the wait for a buffer and the other parts: nothing of this upload will count. */
  private fail(mapped: Error): Error {
    if (!this.signal.aborted) this.failure ??= mapped;
    this.stop.abort(mapped);
    return mapped;
  }
}
