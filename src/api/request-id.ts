import { randomUUID } from 'node:crypto';
import type { RequestHandler, Response } from 'express';

// A caller's id ends in logs and rows: anything but a short plain word is replaced, never cut or escaped.
const acceptable = /^[A-Za-z0-9._:-]{8,128}$/;

/** Takes over the caller's `X-Request-Id` or makes one, and echoes it. */
export const assignRequestId: RequestHandler = (request, response, next) => {
  const given = request.headers['x-request-id'];
  const requestId = typeof given === 'string' && acceptable.test(given) ? given : randomUUID();
  response.locals.requestId = requestId;
  response.set('X-Request-Id', requestId);
  next();
};

/** The id of the request that this answers: in the answer, the log, problems and audit events. */
export function requestIdOf(response: Response): string {
  return response.locals.requestId as string;
}
