// The peer's last member: standard input to S3 by the AWS SDK's own Upload. Plain JavaScript, so that no compile time is measured.

import { readFileSync } from 'node:fs';
import { S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';

const { endpoint, accessKeyId, secretAccessKey, bucket, key } = JSON.parse(process.env.BENCH_UPLOAD);
const client = new S3Client({
  endpoint,
  region: 'us-east-1',
  forcePathStyle: true,
  credentials: { accessKeyId, secretAccessKey },
});
await new Upload({
  client,
  params: { Bucket: bucket, Key: key, Body: process.stdin },
  partSize: 16 * 1024 * 1024,
  queueSize: 4,
}).done();
client.destroy();
const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
process.stdout.write(JSON.stringify({ peakBytes: peak }));
