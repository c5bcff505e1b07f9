import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ErrorRequestHandler } from 'express';
import type { Logger } from 'pino';
import { TidemarkError } from '../domain/errors.js';
import { explainFailure } from '../usecases/service/explain-failure.js';
import { sendProblem, toProblem } from './problems.js';
import { maxBodyBytes } from './read-body.js';
import { requestIdOf } from './request-id.js';

/** Errors that Express and its body reader throw, by their `type` or name. */
function explainHttpError(error: unknown): TidemarkError | null {
  if (!(error instanceof Error)) return null;
  const { type, status } = error as { type?: unknown; status?: unknown };
  switch (type) {
    case 'entity.too.large':
      return new TidemarkError('payload_too_large', `The body is larger than ${maxBodyBytes} bytes.`);
    case 'encoding.unsupported':
      return new TidemarkError('unsupported_media_type', 'Compressed bodies are not read here.');
    case 'request.aborted':
    case 'request.size.invalid':
      return new TidemarkError('invalid_request', 'The body did not arrive completely.');
    default:
  }
  // The router could not decode the path: `%zz`, or bytes that are not UTF-8.
  if (error instanceof URIError || status === 400) {
    return new TidemarkError('invalid_request', 'The address is not valid.');
  }
  return null;
}

/** The last handler: every error becomes a problem document; one that nobody foresaw is logged with its cause and hidden. */
export function answerErrors(logger: Logger): ErrorRequestHandler {
  return (thrown: unknown, request, response, _next) => {
    const error = explainHttpError(thrown) ?? explainFailure(thrown);
    const requestId = requestIdOf(response);
    if (error.code === 'internal')
      logger.error({ err: error.cause ?? error, requestId }, 'A request failed unexpectedly');
    else if (error.code === 'service_unavailable') {
      logger.warn({ err: error.cause ?? error, requestId }, 'A request failed because a component is away');
    }
    // Part of a download is out: an end would look like success, a broken connection does not.
    if (response.headersSent) {
      response.destroy();
      return;
    }
    // What was not read must not be taken for the next request; beyond a sane size the connection ends instead.
    if (Number(request.headers['content-length'] ?? 0) > 16 * maxBodyBytes) response.set('Connection', 'close');
    else request.resume();
    for (const name of response.getHeaderNames()) {
      if (/^(content-disposition|content-length|etag|set-cookie|location)$/i.test(name)) response.removeHeader(name);
    }
    sendProblem(response, error, request.path.slice(0, 256));
  };
}

/** Answers what Node's own parser refuses, before there is a request: broken HTTP, headers too large, a header too slow. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const detail =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? 'The address or the headers are too large.'
      : 'The request is not valid HTTP.';
  const body = JSON.stringify(toProblem(new TidemarkError('invalid_request', detail), undefined, undefined));
  socket.end(
    `HTTP/1.1 400 ${STATUS_CODES[400]}\r\nContent-Type: application/problem+json\r\nConnection: close\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
