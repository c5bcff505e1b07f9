import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { TidemarkError } from '../domain/errors.js';
import type { DestinationConfig } from '../storage/destination.js';

const credentialsSchema = z.object({
  accessKeyId: z.string().min(1),
  secretAccessKey: z.string().min(1),
  endpoint: z.string().optional(),
  region: z.string().optional(),
});

/** What commands take that read a destination by its place. */
export type DestinationOptions = {
  /** `s3://bucket/prefix` or a folder. */
  from: string;
  credentials?: string;
  endpoint?: string;
  region?: string;
  /** `bucket.host` addresses instead of `host/bucket`. */
  virtualHosted?: boolean;
  masterKey?: string;
  wrappingKey?: string[];
};

export function withDestinationOptions(command: Command): Command {
  return command
    .requiredOption('--from <place>', 's3://bucket/prefix, or the folder of a directory destination')
    .option('--credentials <file>', 'JSON file with accessKeyId and secretAccessKey of an S3 store')
    .option('--endpoint <url>', 'address of an S3 store that is not AWS')
    .option('--region <name>', 'region of the bucket (default: us-east-1)')
    .option('--virtual-hosted', 'address the bucket as bucket.host instead of host/bucket')
    .option(
      '--master-key <file>',
      'file with the master key (default: TIDEMARK_MASTER_KEY, then TIDEMARK_HOME/master.key)',
    )
    .option('--wrapping-key <file>', 'a key exported by `tidemark keys export`; may be repeated', append);
}

/** Without a default: the help would show it as `[]`. */
const append = (value: string, earlier: readonly string[] = []) => [...earlier, value];

/** Where to read from, by those options. Credentials come from a file: arguments can be read by every user of the machine. */
export function parseDestination(options: DestinationOptions): DestinationConfig {
  const match = /^s3:\/\/([^/]+)\/?(.*)$/.exec(options.from);
  if (!match?.[1]) return { type: 'directory', path: resolve(options.from), prefix: '' };
  const credentials = readCredentials(options.credentials);
  const endpoint = options.endpoint ?? credentials.endpoint ?? null;
  if (endpoint !== null && !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? '')) {
    throw new TidemarkError(
      'invalid_request',
      `${endpoint} is not an address of an S3 store: it takes http:// or https://.`,
    );
  }
  return {
    type: 's3',
    endpoint,
    bucket: match[1],
    region: options.region ?? credentials.region ?? 'us-east-1',
    prefix: match[2] ?? '',
    accessKeyId: credentials.accessKeyId,
    secretAccessKey: credentials.secretAccessKey,
    forcePathStyle: options.virtualHosted !== true,
  };
}

function readCredentials(path: string | undefined): z.infer<typeof credentialsSchema> {
  const wanted = 'a JSON file {"accessKeyId": "…", "secretAccessKey": "…", "endpoint"?: "…", "region"?: "…"}';
  if (path === undefined) {
    throw new TidemarkError('invalid_request', `An S3 store needs --credentials FILE, ${wanted}.`);
  }
  try {
    return credentialsSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    // Without the cause: a parse error quotes what it read.
    throw new TidemarkError('invalid_request', `${path} is not ${wanted}.`);
  }
}
