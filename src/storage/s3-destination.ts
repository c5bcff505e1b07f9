import type { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  DeleteObjectsCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { TidemarkError } from '../domain/errors.js';
import type { ByteBudget } from './byte-budget.js';
import type { Destination, DestinationConfig, StoredObjectInfo } from './destination.js';
import { assertKey, normalisePrefix } from './layout.js';
import type { S3Action } from './s3-errors.js';
import { mapS3Error, s3Code } from './s3-errors.js';
import { readObject } from './s3-read.js';
import { uploadStream } from './s3-upload.js';

type S3Config = Extract<DestinationConfig, { type: 's3' }>;
type Options = { readonly signal: AbortSignal };

/** A bucket of any S3-compatible store. Only actions of the base API are used: Put, Get, Head, List, Delete and multipart uploads. */
export class S3Destination implements Destination {
  readonly type = 's3';
  readonly location: string;
  private readonly client: S3Client;
  private readonly bucket: string;
  private readonly prefix: string;
  private readonly host: string;
  private readonly budget: ByteBudget;
  private readonly patienceMs: number;

  constructor(config: S3Config, budget: ByteBudget, patienceMs: number) {
    this.patienceMs = patienceMs;
    this.bucket = config.bucket;
    this.prefix = normalisePrefix(config.prefix);
    this.host = config.endpoint ? new URL(config.endpoint).host : `AWS region ${config.region}`;
    this.location = `s3://${[config.bucket, this.prefix].filter((part) => part !== '').join('/')}`;
    this.budget = budget;
    this.client = new S3Client({
      region: config.region,
      ...(config.endpoint ? { endpoint: config.endpoint } : {}),
      forcePathStyle: config.forcePathStyle,
      credentials: { accessKeyId: config.accessKeyId, secretAccessKey: config.secretAccessKey },
      // Each part's SHA-256 is in its signature already, and several stores refuse the newer checksum headers.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      maxAttempts: 5,
      requestHandler: {
        connectionTimeout: 5_000,
        // A store that hangs is noticed while a request waits; without it an upload would wait for ever.
        socketTimeout: 60_000,
        httpAgent: { keepAlive: true, maxSockets: 32 },
        httpsAgent: { keepAlive: true, maxSockets: 32 },
      },
    });
  }

  async put(key: string, body: Uint8Array, options: Options & { ifAbsent?: boolean }): Promise<void> {
    const send = (condition: { IfNoneMatch?: string }) =>
      this.client.send(
        new PutObjectCommand({
          Bucket: this.bucket,
          Key: this.full(key),
          Body: body,
          ContentLength: body.length,
          ...condition,
        }),
        { abortSignal: options.signal },
      );
    await this.run('s3:PutObject', key, options, async () => {
      if (!options.ifAbsent) return send({});
      try {
        return await send({ IfNoneMatch: '*' });
      } catch (error) {
        const code = s3Code(error);
        if (code === 'PreconditionFailed' || code === 'ConditionalRequestConflict') throw exists(key);
        if (code !== 'NotImplemented') throw error;
        // A store without conditional writes: look first. Two writers are still told apart by the catalog's fencing token.
        if (await this.stat(key, options)) throw exists(key);
        return send({});
      }
    });
  }

  async upload(
    key: string,
    body: Readable,
    options: Options & { onBytes?: (bytes: number) => void },
  ): Promise<{ bytes: number }> {
    return uploadStream(body, {
      client: this.client,
      bucket: this.bucket,
      key: this.full(key),
      at: (action) => this.at(action, key),
      budget: this.budget,
      signal: options.signal,
      patienceMs: this.patienceMs,
      onBytes: options.onBytes,
    });
  }

  async read(key: string, options: Options): Promise<Readable> {
    return readObject({
      client: this.client,
      bucket: this.bucket,
      key: this.full(key),
      at: (action) => this.at(action, key),
      signal: options.signal,
      patienceMs: this.patienceMs,
    });
  }

  async stat(key: string, options: Options): Promise<StoredObjectInfo | null> {
    return this.run('s3:GetObject', key, options, async () => {
      try {
        const head = await this.client.send(new HeadObjectCommand({ Bucket: this.bucket, Key: this.full(key) }), {
          abortSignal: options.signal,
        });
        return { key, bytes: head.ContentLength ?? 0, modifiedAt: (head.LastModified ?? new Date(0)).toISOString() };
      } catch (error) {
        if (s3Code(error) !== 'NotFound' && s3Code(error) !== 'NoSuchKey') throw error;
        // An answer to HEAD has no body: 404 may as well mean a missing bucket or (versitygw) an unknown access key. A listing tells.
        for await (const object of this.list(key, options)) if (object.key === key) return object;
        return null;
      }
    });
  }

  async *list(prefix: string, options: Options): AsyncGenerator<StoredObjectInfo> {
    let token: string | undefined;
    do {
      const page = await this.run('s3:ListBucket', null, options, () =>
        this.client.send(
          new ListObjectsV2Command({ Bucket: this.bucket, Prefix: this.full(prefix), ContinuationToken: token }),
          { abortSignal: options.signal },
        ),
      );
      for (const object of page.Contents ?? []) {
        // Stores on file systems also list folders.
        if (!object.Key || object.Key.endsWith('/')) continue;
        const modifiedAt = (object.LastModified ?? new Date(0)).toISOString();
        yield { key: this.relative(object.Key), bytes: object.Size ?? 0, modifiedAt };
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token);
  }

  async remove(keys: readonly string[], options: Options): Promise<void> {
    for (let start = 0; start < keys.length; start += 1000) {
      const Objects = keys.slice(start, start + 1000).map((key) => ({ Key: this.full(key) }));
      const first = keys[start] ?? null;
      const answer = await this.run('s3:DeleteObject', first, options, () =>
        this.client.send(new DeleteObjectsCommand({ Bucket: this.bucket, Delete: { Objects, Quiet: true } }), {
          abortSignal: options.signal,
        }),
      );
      const failed = (answer.Errors ?? []).find((error) => error.Code !== 'NoSuchKey');
      if (!failed) continue;
      const key = failed.Key ? this.relative(failed.Key) : first;
      throw mapS3Error({ name: failed.Code ?? 'InternalError' }, this.at('s3:DeleteObject', key));
    }
  }

  async sweepUploads(prefix: string, options: Options & { olderThan: Date }): Promise<string[]> {
    const swept: string[] = [];
    let KeyMarker: string | undefined;
    let UploadIdMarker: string | undefined;
    do {
      const page = await this.run('s3:ListBucketMultipartUploads', null, options, () =>
        this.client.send(
          new ListMultipartUploadsCommand({
            Bucket: this.bucket,
            Prefix: this.full(prefix),
            KeyMarker,
            UploadIdMarker,
          }),
          { abortSignal: options.signal },
        ),
      );
      for (const upload of page.Uploads ?? []) {
        const { Key, UploadId, Initiated } = upload;
        if (!Key?.startsWith(this.full(prefix)) || !UploadId || (Initiated ?? new Date()) >= options.olderThan)
          continue;
        await this.abortUpload(Key, UploadId, options);
        swept.push(this.relative(Key));
      }
      KeyMarker = page.IsTruncated ? page.NextKeyMarker : undefined;
      UploadIdMarker = page.NextUploadIdMarker;
    } while (KeyMarker);
    return swept;
  }

  close(): void {
    this.client.destroy();
  }

  private async abortUpload(Key: string, UploadId: string, options: Options): Promise<void> {
    await this.run('s3:AbortMultipartUpload', this.relative(Key), options, async () => {
      try {
        await this.client.send(new AbortMultipartUploadCommand({ Bucket: this.bucket, Key, UploadId }), {
          abortSignal: options.signal,
        });
      } catch (error) {
        if (s3Code(error) !== 'NoSuchUpload') throw error;
      }
    });
  }

  private full(key: string): string {
    assertKey(key.replace(/\/$/, ''));
    return this.prefix === '' ? key : `${this.prefix}/${key}`;
  }

  private relative(fullKey: string): string {
    return this.prefix === '' ? fullKey : fullKey.slice(this.prefix.length + 1);
  }

  private at(action: string, key: string | null): S3Action {
    return { action, bucket: this.bucket, key, host: this.host };
  }

  private async run<T>(action: string, key: string | null, options: Options, request: () => Promise<T>): Promise<T> {
    options.signal.throwIfAborted();
    try {
      return await request();
    } catch (error) {
      if (options.signal.aborted) throw options.signal.reason;
      throw mapS3Error(error, this.at(action, key));
    }
  }
}

function exists(key: string): TidemarkError {
  return new TidemarkError('manifest_exists', `${key} is there already and was not replaced.`, { object: key });
}
