import type { Response } from 'express';
import type { z } from 'zod';
import type { ErrorCode, FieldError } from '../domain/errors.js';
import { errorTable, TidemarkError } from '../domain/errors.js';
import type { problemSchema } from '../domain/schemas/common.js';
import { requestIdOf } from './request-id.js';

export type Problem = z.infer<typeof problemSchema>;

/** Where the page about a code is served; relative, because the service does not know the address it is reached by. */
export function problemType(code: ErrorCode): string {
  return `/docs/errors/${code}`;
}

/** The RFC 9457 document of an error (design section 7). `instance` is the path asked for, without its query, which can hold names. */
export function toProblem(error: TidemarkError, requestId: string | undefined, instance: string | undefined): Problem {
  const row = errorTable[error.code];
  const { object, fields, statement, references } = error.details;
  return {
    type: problemType(error.code),
    title: row.title,
    status: row.status,
    code: error.code,
    // The text of an unexpected error could hold a secret; its message stays in the log under the request id.
    detail: error.code === 'internal' ? row.title : error.message,
    remedy: row.remedy,
    ...(instance === undefined ? {} : { instance }),
    ...(requestId === undefined ? {} : { requestId }),
    ...(object === undefined ? {} : { object }),
    ...(fields === undefined ? {} : { errors: [...fields] }),
    ...(statement === undefined ? {} : { statement }),
    ...(references === undefined ? {} : { references: [...references] }),
  };
}

/** Sends the problem with the headers that its status wants. */
export function sendProblem(response: Response, error: TidemarkError, instance: string): void {
  const problem = toProblem(error, requestIdOf(response), instance);
  if (problem.status === 401) response.set('WWW-Authenticate', 'Bearer realm="tidemark"');
  const wait = error.details.retryAfterSeconds ?? (problem.status === 503 ? 5 : undefined);
  if (wait !== undefined) response.set('Retry-After', String(Math.max(1, Math.ceil(wait))));
  response.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
}

/** A 400 that names each wrong field and what it takes. */
export function invalidRequest(fields: readonly FieldError[]): TidemarkError {
  const listed = fields.slice(0, 3).map((field) => `${field.field} ${field.message}`);
  const more = fields.length > 3 ? ` and ${fields.length - 3} more` : '';
  return new TidemarkError('invalid_request', `The request is not valid: ${listed.join('; ')}${more}.`, {
    fields: fields.slice(0, 50),
  });
}
