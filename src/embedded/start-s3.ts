import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CreateBucketCommand, HeadBucketCommand, S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import type { InstallEnvironment } from '../platform/installed.js';
import { toolPath } from '../platform/installed.js';
import { spawnChild } from '../platform/spawn-child.js';
import type { ComponentDefinition, RunningComponent } from './component.js';
import type { EmbeddedState } from './embedded-state.js';
import { markerEnvironment } from './home-lock.js';
import { PortKeeper } from './start-on-free-port.js';
import { waitUntilHealthy } from './wait-until-healthy.js';

/** What a destination needs to use the embedded store. */
export type S3Access = {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly forcePathStyle: true;
};

export interface EmbeddedS3 {
  readonly component: ComponentDefinition;
  /** Known once it was started. */
  access(): S3Access;
}

/** No bucket can have this name: it begins with a dash. */
const HEALTH_PATH = '/-health';

/** versitygw on a folder below the home, with generated credentials and one bucket. */
export function defineS3(home: string, state: EmbeddedState, install: InstallEnvironment): EmbeddedS3 {
  const ports = new PortKeeper(state, 's3');
  const accessOn = (port: number): S3Access => ({
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    bucket: 'tidemark',
    ...state.s3,
    forcePathStyle: true,
  });
  const dir = join(home, 's3');
  const data = join(dir, 'data');
  const sidecar = join(dir, 'metadata');
  const logFile = join(dir, 's3.log');

  const start = async (port: number): Promise<RunningComponent> => {
    const access = accessOn(port);
    const program = toolPath('versitygw', install);
    if (program === null) {
      throw new TidemarkError(
        'tools_missing',
        'The S3 store versitygw is not installed. `npm run doctor` says how to get it.',
      );
    }
    for (const path of [data, sidecar]) mkdirSync(path, { recursive: true, mode: 0o700 });
    const child = spawnChild({
      command: program,
      args: [
        '--port',
        `127.0.0.1:${port}`,
        '--region',
        access.region,
        '--health',
        HEALTH_PATH,
        '--quiet',
        'posix',
        '--dir-perms',
        '0700',
        '--file-perms',
        '0600',
        ...(state.s3Sidecar ? ['--sidecar', sidecar] : []),
        data,
      ],
      // In the environment: arguments can be read by every user of the machine.
      env: {
        HOME: dir,
        ROOT_ACCESS_KEY_ID: access.accessKeyId,
        ROOT_SECRET_ACCESS_KEY: access.secretAccessKey,
        ...markerEnvironment(home),
      },
      cwd: dir,
      logFile,
      label: 'the S3 store',
      redact: [access.secretAccessKey],
    });
    try {
      await waitUntilHealthy(child, () => ensureBucket(access), { timeoutMs: 30_000, logFile, port });
    } catch (error) {
      // The store looks for itself, and ends with these words. Only while it is empty: objects written one way are not found the other.
      const lacking = isTidemarkError(error) && /xattrs are not supported/.test(error.message);
      if (!lacking || state.s3Sidecar || readdirSync(data).length > 0) throw error;
      state.s3Sidecar = true;
      return start(port);
    }
    return {
      pid: child.pid,
      exited: child.exited,
      check: async () => {
        const response = await fetch(`${access.endpoint}${HEALTH_PATH}`, { signal: AbortSignal.timeout(4_000) });
        await response.body?.cancel();
        if (!response.ok) throw new Error(`the S3 store answers ${response.status}`);
      },
      stop: async () => void (await child.kill()),
      kill: async () => void (await child.kill('SIGKILL')),
    };
  };

  return {
    component: { name: 's3', start: () => ports.start(({ s3 }) => start(s3)) },
    access: () => accessOn(ports.get('s3')),
  };
}

async function ensureBucket(access: S3Access): Promise<void> {
  const client = new S3Client({
    endpoint: access.endpoint,
    region: access.region,
    forcePathStyle: true,
    credentials: { accessKeyId: access.accessKeyId, secretAccessKey: access.secretAccessKey },
    maxAttempts: 1,
    requestHandler: { requestTimeout: 4_000, connectionTimeout: 2_000 },
  });
  try {
    // Not CreateBucket at once: that the bucket is there must be told from that it belongs to another store's credentials.
    await client.send(new HeadBucketCommand({ Bucket: access.bucket }));
  } catch (error) {
    if (!(error instanceof S3ServiceException) || error.$metadata.httpStatusCode !== 404) throw error;
    await client.send(new CreateBucketCommand({ Bucket: access.bucket }));
  } finally {
    client.destroy();
  }
}
