import type { ErrorCode } from '../domain/errors.js';
import { TidemarkError } from '../domain/errors.js';

/** What was tried, for the message: the S3 action a policy must grant, and where. */
export type S3Action = {
  readonly action: string;
  readonly bucket: string;
  readonly key: string | null;
  /** Host of the store, or the region at AWS. */
  readonly host: string;
};

type SdkError = {
  readonly name?: string;
  readonly message?: string;
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
};

const DENIED = new Set([
  'AccessDenied',
  'AccountProblem',
  'AllAccessDisabled',
  'ExpiredToken',
  'InvalidAccessKeyId',
  'InvalidToken',
  'SignatureDoesNotMatch',
  'RequestTimeTooSkewed',
  'AuthorizationHeaderMalformed',
  'Forbidden',
  'XAdminUserNotFound',
]);
const FULL = new Set([
  'QuotaExceeded',
  'XMinioAdminBucketQuotaExceeded',
  'XMinioStorageFull',
  'StorageFull',
  'InsufficientStorage',
]);

/** Also what stores say in the text of a plain 500 when their disk is full. */
const FULL_TEXT = /no space left|disk full|quota exceeded|insufficient storage/i;

/** True when the same request may succeed when sent again: the network broke or the store is not well. */
export function isTransient(error: unknown): boolean {
  return error instanceof TidemarkError && error.code === 'destination_unreachable';
}

/** The store's code for the error, `NoSuchKey` for example. */
export function s3Code(error: unknown): string {
  return (error as SdkError)?.name ?? '';
}

/**
 * Puts an error of the SDK in our words: what was refused, on which bucket and object, and why. The SDK's own object is not kept as the
 * cause: it carries the request, with the access key in its headers.
 */
export function mapS3Error(error: unknown, at: S3Action): TidemarkError {
  if (error instanceof TidemarkError) return error;
  const { name = '', code = '', message = '' } = error as SdkError;
  const status = (error as SdkError).$metadata?.httpStatusCode;
  const object = at.key === null ? `bucket ${at.bucket}` : `${at.key} in bucket ${at.bucket}`;
  const make = (errorCode: ErrorCode, text: string) =>
    new TidemarkError(errorCode, text, { object: at.key ?? at.bucket });

  if (name === 'NoSuchBucket') {
    return make('destination_missing', `There is no bucket ${at.bucket} at ${at.host} (${at.action}).`);
  }
  if (FULL.has(name) || status === 507 || FULL_TEXT.test(message)) {
    return make('destination_full', `${at.host} has no space left: ${at.action} of ${object} failed.`);
  }
  if (name === 'PermanentRedirect' || name === 'IncorrectEndpoint' || status === 301) {
    return make('destination_denied', `Bucket ${at.bucket} belongs to another region or endpoint than ${at.host}.`);
  }
  if (DENIED.has(name) || status === 401 || status === 403) {
    const why = DENIED.has(name) ? name : `HTTP ${status}`;
    const hint = deniedHint(name);
    return make('destination_denied', `${at.host} refused ${at.action} of ${object}: ${why}${hint}.`);
  }
  if (name === 'NoSuchKey' || name === 'NotFound') {
    return make('object_missing', `There is no object ${object} at ${at.host}.`);
  }
  if (status !== undefined && status < 500 && status !== 408 && status !== 429) {
    return make('destination_denied', `${at.host} refused ${at.action} of ${object}: ${name || `HTTP ${status}`}.`);
  }
  const why = status !== undefined && status >= 400 ? `${name} (HTTP ${status})` : code || name || 'no answer';
  return make('destination_unreachable', `${at.host} did not answer ${at.action} of ${object}: ${why}.`);
}

function deniedHint(name: string): string {
  switch (name) {
    case 'InvalidAccessKeyId':
    case 'XAdminUserNotFound':
      return ' (the access key id is not known there)';
    case 'SignatureDoesNotMatch':
      return ' (the secret access key is wrong)';
    case 'RequestTimeTooSkewed':
      return ' (the clocks differ)';
    case 'AuthorizationHeaderMalformed':
      return ' (the region is wrong)';
    default:
      return '';
  }
}
