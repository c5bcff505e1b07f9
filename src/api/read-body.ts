import type { Request, RequestHandler } from 'express';
import express from 'express';
import { TidemarkError } from '../domain/errors.js';
import { invalidRequest } from './problems.js';

/** Largest request body in bytes (design section 7). */
export const maxBodyBytes = 1024 * 1024;

// Far more than any request needs; a deeper one could exhaust the stack of whoever walks it.
const maxDepth = 32;

/**
 * Reads the body as bytes. JSON is parsed later by `parseBody`: the ready-made parser replaces broken UTF-8 silently, lets any
 * depth through and unpacks compressed bodies, whose size it learns only while doing so.
 */
export const readBodyBytes: RequestHandler = express.raw({ type: () => true, limit: maxBodyBytes, inflate: false });

/** True when the request carries a body of at least one byte. */
function hasBody(request: Request): request is Request & { body: Buffer } {
  return Buffer.isBuffer(request.body) && request.body.length > 0;
}

/** The JSON of the body, or undefined without one. Throws `unsupported_media_type` or `invalid_request`. */
export function parseBody(request: Request): unknown {
  if (!hasBody(request)) return undefined;
  const type = request.headers['content-type'] ?? '';
  if (!/^application\/json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?$/i.test(type)) {
    const shown = type === '' ? 'The body has no content type' : 'The body has another content type';
    throw new TidemarkError('unsupported_media_type', `${shown}; only application/json in UTF-8 is read here.`);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(request.body);
  } catch (error) {
    throw new TidemarkError('invalid_request', 'The body is not valid UTF-8.', {}, { cause: error });
  }
  checkDepth(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The parser's own message quotes the body, which may hold a password.
    throw new TidemarkError('invalid_request', 'The body is not valid JSON.', {}, { cause: error });
  }
  checkText(value, '');
  return value;
}

/** Refuses what no field takes, before any parsing that could recurse. */
function checkDepth(text: string): void {
  let depth = 0;
  let inString = false;
  for (let index = 0; index < text.length; index += 1) {
    const char = text[index];
    if (inString) {
      if (char === '\\') index += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{' || char === '[') {
      depth += 1;
      if (depth > maxDepth) throw new TidemarkError('invalid_request', `The body is nested deeper than ${maxDepth}.`);
    } else if (char === '}' || char === ']') depth -= 1;
  }
}

/**
 * Refuses text that PostgreSQL cannot store (NUL, lone surrogates) and the key that would reach an object's prototype, wherever they
 * stand. Schemas refuse more; this holds for every field, also of a schema that forgot.
 */
export function checkText(value: unknown, pointer: string): void {
  if (typeof value === 'string') {
    if (value.includes('\u0000') || !value.isWellFormed()) {
      throw invalidRequest([{ field: pointer || '/', message: 'must not contain NUL or broken Unicode' }]);
    }
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (key === '__proto__' || key.includes('\u0000') || !key.isWellFormed()) {
      throw invalidRequest([{ field: pointer || '/', message: 'has a key that is not allowed' }]);
    }
    checkText(inner, `${pointer}/${key.slice(0, 64)}`);
  }
}
