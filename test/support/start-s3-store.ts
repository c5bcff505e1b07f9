/** A real S3 store for tests and benches: versitygw on loopback, with buckets of its own. Knows no test runner. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import { loadConfig } from '../../src/config.js';
import { toolPath } from '../../src/platform/installed.js';
import { findFreePort } from '../../src/platform/ports.js';
import type { Child } from '../../src/platform/spawn-child.js';
import { spawnChild } from '../../src/platform/spawn-child.js';
import type { DestinationConfig } from '../../src/storage/destination.js';

export type S3DestinationConfig = Extract<DestinationConfig, { type: 's3' }>;

export interface S3Store {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly pid: number;
  /** Folder in which versitygw keeps `<bucket>/<key>` as plain files: a test damages objects there. */
  readonly dataDir: string;
  /** A new, empty bucket. */
  createBucket(): Promise<string>;
  /** A client with the store's own credentials; closed with the store. */
  client(): S3Client;
  /** What `openDestination` takes. */
  config(bucket: string, prefix?: string): S3DestinationConfig;
  /** Keys of the multipart uploads that nobody completed or removed. */
  openUploads(bucket: string): Promise<string[]>;
  /** Ends it as a crash would; `start` brings it back on the same port with the same content. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Thrown away with all its content. */
  close(): Promise<void>;
}

/** Starts a store, by default with a folder of its own; close it yourself. Tests use `useS3Store`. */
export async function startS3Store(
  options: {
    readonly dataDir?: string;
    /** Serves TLS with this certificate for 127.0.0.1, which the caller's process must trust already. */
    readonly tls?: { readonly certFile: string; readonly keyFile: string };
  } = {},
): Promise<S3Store> {
  const program = toolPath('versitygw', loadConfig().install);
  if (program === null) throw new Error('versitygw is not installed: run `npm run setup`');
  const dir = mkdtempSync(join(tmpdir(), 'tm-s3-'));
  const dataDir = options.dataDir ?? join(dir, 'data');
  mkdirSync(dataDir, { recursive: true });
  const port = await findFreePort();
  const accessKeyId = `test${randomBytes(6).toString('hex')}`;
  const secretAccessKey = randomBytes(18).toString('base64url');
  const endpoint = `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  const clients: S3Client[] = [];
  let child: Child | null = null;

  const client = () => {
    const made = new S3Client({
      endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
    });
    clients.push(made);
    return made;
  };

  const start = async () => {
    child = spawnChild({
      command: program,
      args: [
        '--port',
        `127.0.0.1:${port}`,
        '--region',
        'us-east-1',
        '--health',
        '/-health',
        '--quiet',
        ...(options.tls ? ['--cert', options.tls.certFile, '--key', options.tls.keyFile] : []),
        'posix',
        dataDir,
      ],
      env: { HOME: dir, ROOT_ACCESS_KEY_ID: accessKeyId, ROOT_SECRET_ACCESS_KEY: secretAccessKey },
      cwd: dir,
      stdout: 'tail',
      label: 'versitygw',
      redact: [secretAccessKey],
    });
    await untilHealthy(child, `${endpoint}/-health`);
  };
  const kill = async () => {
    await child?.kill('SIGKILL');
    child = null;
  };
  await start();

  return {
    endpoint,
    accessKeyId,
    secretAccessKey,
    dataDir,
    client,
    start,
    kill,
    get pid() {
      if (child?.pid === undefined) throw new Error('versitygw does not run');
      return child.pid;
    },
    async createBucket() {
      const bucket = `tm-${randomBytes(6).toString('hex')}`;
      const s3 = client();
      await s3.send(new CreateBucketCommand({ Bucket: bucket }));
      return bucket;
    },
    config: (bucket, prefix = '') => ({
      type: 's3',
      endpoint,
      bucket,
      region: 'us-east-1',
      prefix,
      accessKeyId,
      secretAccessKey,
      forcePathStyle: true,
    }),
    async openUploads(bucket) {
      const { Uploads } = await client().send(new ListMultipartUploadsCommand({ Bucket: bucket }));
      return (Uploads ?? []).map((upload) => upload.Key ?? '');
    },
    async close() {
      for (const made of clients) made.destroy();
      await kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function untilHealthy(child: Child, url: string): Promise<void> {
  const end = Date.now() + 20_000;
  for (;;) {
    try {
      if ((await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok) return;
    } catch {
      // Not listening yet.
    }
    if (Date.now() > end) throw new Error(`versitygw does not answer: ${child.stderrTail()}`);
    await delay(30);
  }
}
