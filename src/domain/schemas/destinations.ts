import { z } from 'zod';
import {
  idSchema,
  isPlainText,
  listOf,
  nameSchema,
  pageFields,
  recordedErrorSchema,
  secretText,
  timestamp,
} from './common.js';

const hasTrick = (value: string) =>
  value.includes('\\') || value.split('/').some((part) => part === '.' || part === '..');

/** A key prefix: cleaned of leading, trailing and doubled slashes; `.` and `..` are refused, never resolved. */
export const prefixSchema = z
  .string()
  .max(512)
  .refine(isPlainText, 'must not contain control characters or broken Unicode')
  .refine((value) => !hasTrick(value), 'must not contain . or .. as a part, nor \\')
  .overwrite((value) => value.split('/').filter(Boolean).join('/'))
  .meta({ description: 'Folder in the bucket or directory under which everything is kept.', example: 'backups/prod' });

const bucketSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'must be a bucket name: 3 to 63 of a-z 0-9 . -')
  .refine((value) => !value.includes('..'), 'must not contain two dots in a row')
  .meta({ example: 'backups' });

const regionSchema = z
  .string()
  .regex(/^[a-z0-9-]{1,64}$/, 'must be a region such as eu-central-1')
  .meta({ example: 'us-east-1' });

function isEndpoint(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const url = new URL(value);
  return (
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    url.username === '' &&
    url.password === '' &&
    url.search === '' &&
    url.hash === '' &&
    url.pathname === '/'
  );
}

const endpointSchema = z
  .string()
  .trim()
  .max(512)
  .refine(isPlainText, 'must not contain control characters')
  .refine(isEndpoint, 'must be http(s)://host[:port] without user, path or query')
  .meta({ description: 'Address of the store; absent for AWS itself.', example: 'http://127.0.0.1:9000' });

/** An absolute path; whether it lies under a configured root is decided by the use case and, after symlinks, by the worker. */
const directoryPathSchema = z
  .string()
  .min(1)
  .max(1024)
  .refine(isPlainText, 'must not contain control characters or broken Unicode')
  .refine((value) => value.startsWith('/') && !hasTrick(value), 'must be an absolute path without . or .. parts')
  .overwrite((value) => `/${value.split('/').filter(Boolean).join('/')}`)
  .meta({ description: 'Absolute path under one of the configured roots.', example: '/srv/backups' });

/** It travels in a header: what no header can hold would only be noticed when it is used, as a store that does not answer. */
const accessKeyIdSchema = secretText(256, 'Access key id; never shown again.').regex(
  /^[\x21-\x7e]+$/,
  'must be printable ASCII without spaces',
);
const secretAccessKeySchema = secretText(1024, 'Secret access key; never shown again.').min(1);
const enabledSchema = z
  .boolean()
  .default(true)
  .meta({ description: 'A disabled destination takes and gives nothing.' });

export const createDestinationSchema = z
  .discriminatedUnion('type', [
    z.strictObject({
      name: nameSchema,
      type: z.literal('s3'),
      endpoint: endpointSchema.nullable().optional(),
      bucket: bucketSchema,
      region: regionSchema.default('us-east-1'),
      prefix: prefixSchema.default(''),
      accessKeyId: accessKeyIdSchema,
      secretAccessKey: secretAccessKeySchema,
      forcePathStyle: z.boolean().default(true),
      enabled: enabledSchema,
    }),
    z.strictObject({
      name: nameSchema,
      type: z.literal('directory'),
      path: directoryPathSchema,
      prefix: prefixSchema.default(''),
      enabled: enabledSchema,
    }),
  ])
  .meta({ id: 'CreateDestination', description: 'Registers a place where artifacts are kept.' });
export type CreateDestination = z.infer<typeof createDestinationSchema>;

export const updateDestinationSchema = z
  .strictObject({
    name: nameSchema,
    endpoint: endpointSchema.nullable(),
    bucket: bucketSchema,
    region: regionSchema,
    prefix: prefixSchema,
    accessKeyId: accessKeyIdSchema,
    secretAccessKey: secretAccessKeySchema,
    forcePathStyle: z.boolean(),
    path: directoryPathSchema,
    enabled: z.boolean(),
  })
  .partial()
  .refine((value) => Object.keys(value).length > 0, 'must change at least one field')
  .refine((value) => (value.accessKeyId === undefined) === (value.secretAccessKey === undefined), {
    path: ['secretAccessKey'],
    message: 'accessKeyId and secretAccessKey are changed together',
  })
  .meta({
    id: 'UpdateDestination',
    description: 'Fields to change. Bucket, prefix and path are fixed once a backup lies there.',
  });
export type UpdateDestination = z.infer<typeof updateDestinationSchema>;

export const listDestinationsQuery = z.strictObject({
  type: z.enum(['s3', 'directory']).optional(),
  ...pageFields,
});
export type ListDestinationsQuery = z.infer<typeof listDestinationsQuery>;

export const destinationSchema = z
  .object({
    id: idSchema('destination'),
    name: z.string(),
    type: z.enum(['s3', 'directory']),
    endpoint: z.string().nullable(),
    bucket: z.string().nullable(),
    region: z.string().nullable(),
    prefix: z.string(),
    forcePathStyle: z.boolean().nullable(),
    path: z.string().nullable(),
    enabled: z.boolean(),
    ownerId: z.string(),
    credentialsVerifiedAt: timestamp
      .nullable()
      .meta({ description: 'Last time put, get, list and delete all worked.' }),
    checkError: recordedErrorSchema.nullable(),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({ id: 'Destination', description: 'Where artifacts are kept. Credentials never come out.' });
export type DestinationResource = z.infer<typeof destinationSchema>;
export const destinationListSchema = listOf(destinationSchema, 'DestinationList');
