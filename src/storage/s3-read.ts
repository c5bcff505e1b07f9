import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { TidemarkError } from '../domain/errors.js';
import type { S3Action } from './s3-errors.js';
import { mapS3Error } from './s3-errors.js';
import { Patience } from './s3-retry.js';

/** A store that sends nothing for this long while we wait is taken for gone; time in which the reader is busy does not count. */
const SILENCE_MS = 60_000;

export type S3Read = {
  readonly client: S3Client;
  readonly bucket: string;
  readonly key: string;
  readonly at: (action: string) => S3Action;
  readonly signal: AbortSignal;
  readonly patienceMs: number;
};

/**
 * Reads an object. A connection that breaks is taken up again where it ended (a restore that loads for hours outlives the idle limit of
 * many stores); the ETag makes sure that it is still the same object.
 */
export async function readObject(read: S3Read): Promise<Readable> {
  // The first request is made here, so that a missing object is an error of this call and not of the stream.
  const first = await request(read, 0, undefined);
  return Readable.from(follow(read, first), { objectMode: false, highWaterMark: 1024 * 1024 });
}

type Answer = { readonly body: Readable; readonly bytes: number; readonly etag: string | undefined };

async function request(read: S3Read, offset: number, etag: string | undefined): Promise<Answer> {
  const { client, bucket, key, signal } = read;
  try {
    const answer = await client.send(
      new GetObjectCommand({
        Bucket: bucket,
        Key: key,
        ...(offset > 0 ? { Range: `bytes=${offset}-`, IfMatch: etag } : {}),
      }),
      { abortSignal: signal },
    );
    return { body: answer.Body as Readable, bytes: offset + (answer.ContentLength ?? 0), etag: answer.ETag };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw mapS3Error(error, read.at('s3:GetObject'));
  }
}

async function* follow(read: S3Read, first: Answer): AsyncGenerator<Buffer> {
  let answer: Answer | null = first;
  let offset = 0;
  const patience = new Patience(read.patienceMs, read.signal);
  for (;;) {
    try {
      answer ??= await request(read, offset, first.etag);
      for await (const chunk of withoutSilence(answer.body)) {
        offset += chunk.length;
        patience.reset();
        yield chunk;
      }
      if (offset >= first.bytes) return;
      throw new Error('the answer ended early');
    } catch (error) {
      if (read.signal.aborted) throw read.signal.reason;
      const mapped = error instanceof TidemarkError ? error : mapS3Error(error, read.at('s3:GetObject'));
      await patience.wait(mapped);
    } finally {
      answer?.body.destroy();
      answer = null;
    }
  }
}

async function* withoutSilence(body: Readable): AsyncGenerator<Buffer> {
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  for (;;) {
    const timer = setTimeout(() => body.destroy(new Error('the store fell silent')), SILENCE_MS);
    let step: IteratorResult<Buffer>;
    try {
      step = await chunks.next();
    } finally {
      clearTimeout(timer);
    }
    if (step.done) return;
    yield step.value;
  }
}
