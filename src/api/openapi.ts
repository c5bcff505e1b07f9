import { z } from 'zod';
import type { ZodOpenApiOperationObject, ZodOpenApiPathsObject, ZodOpenApiResponsesObject } from 'zod-openapi';
import { createDocument } from 'zod-openapi';
import type { ErrorCode } from '../domain/errors.js';
import { errorTable } from '../domain/errors.js';
import { idSchema, problemSchema } from '../domain/schemas/common.js';
import type { Route } from './route.js';

export type OpenApiDocument = ReturnType<typeof createDocument>;

const problemContent = { 'application/problem+json': { schema: problemSchema } };

const successTexts = { 200: 'Done.', 201: 'Made.', 202: 'Taken; read the resource until it settles.', 204: 'Done.' };

/** The codes a route can answer with, those that its shape brings along included. */
export function errorCodesOf(route: Route): ErrorCode[] {
  const codes = new Set<ErrorCode>(['invalid_request', 'rate_limited', 'internal', 'service_unavailable']);
  if (route.scope !== null) for (const code of ['unauthenticated', 'forbidden'] as const) codes.add(code);
  if (route.params) codes.add('not_found');
  if (route.method !== 'get')
    for (const code of ['payload_too_large', 'unsupported_media_type'] as const) codes.add(code);
  if (route.replay) for (const code of ['idempotency_key_reused', 'conflict'] as const) codes.add(code);
  for (const code of route.errors ?? []) codes.add(code);
  return [...codes];
}

function errorResponses(route: Route): ZodOpenApiResponsesObject {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of errorCodesOf(route)) {
    const { status } = errorTable[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, codes]) => [
        String(status),
        {
          description: codes.map((code) => `\`${code}\`: ${errorTable[code].title}.`).join('\n\n'),
          content: problemContent,
        },
      ]),
  );
}

function successResponse(route: Route): ZodOpenApiResponsesObject {
  const description = route.stream?.description ?? successTexts[route.status];
  const content = route.answer
    ? { 'application/json': { schema: route.answer } }
    : route.stream
      ? { [route.stream.contentType]: { schema: z.string().meta({ format: 'binary' }) } }
      : undefined;
  return {
    [String(route.status)]: { description, ...(content ? { content } : {}) },
    ...(route.emptyWhenDone ? { '204': { description: successTexts[204] } } : {}),
  };
}

const idempotencyHeader = z.object({
  'Idempotency-Key': z.string().min(1).max(255).optional().meta({
    description:
      'Makes a repeated request safe for 24 hours: the same key and request answer with the same resource, read again.',
    example: 'backup-before-release-42',
  }),
});

function describeOperation(route: Route): ZodOpenApiOperationObject {
  const names = Object.entries(route.params ?? {});
  const path = z.object(Object.fromEntries(names.map(([name, kind]) => [name, idSchema(kind)])));
  return {
    operationId: route.operationId,
    tags: [route.tag],
    summary: route.summary,
    description: [route.description, route.scope === null ? undefined : `Needs the scope \`${route.scope}\`.`]
      .filter((part) => part !== undefined)
      .join('\n\n'),
    security: route.scope === null ? [] : [{ token: [] }, { session: [] }],
    requestParams: {
      ...(names.length > 0 ? { path } : {}),
      // The query of every list is an object schema; that it is strict is the validator's business.
      ...(route.query ? { query: route.query as z.ZodObject } : {}),
      ...(route.replay ? { header: idempotencyHeader } : {}),
    },
    ...(route.body ? { requestBody: { required: true, content: { 'application/json': { schema: route.body } } } } : {}),
    responses: { ...successResponse(route), ...errorResponses(route) },
  };
}

const text = (description: string, type: string) => ({
  description,
  content: { [type]: { schema: z.string() } },
});

const readinessSchema = z
  .object({
    ready: z.boolean(),
    components: z.record(z.string(), z.object({ ok: z.boolean(), detail: z.string() })),
  })
  .meta({ id: 'Readiness', description: 'Whether work that is asked for now would be done, and what is missing.' });

// Served by the app itself, without authentication and without the checks of the table.
const servicePaths: ZodOpenApiPathsObject = {
  '/healthz': {
    get: {
      operationId: 'getHealth',
      tags: ['Service'],
      summary: 'The process lives',
      security: [],
      responses: { '200': text('It does.', 'text/plain') },
    },
  },
  '/readyz': {
    get: {
      operationId: 'getReadiness',
      tags: ['Service'],
      summary: 'Catalog, Temporal and workers are there',
      security: [],
      responses: {
        '200': { description: 'Ready.', content: { 'application/json': { schema: readinessSchema } } },
        '503': { description: 'Not ready.', content: { 'application/json': { schema: readinessSchema } } },
      },
    },
  },
  '/metrics': {
    get: {
      operationId: 'getMetrics',
      tags: ['Service'],
      summary: 'Figures for Prometheus',
      security: [],
      responses: {
        '200': text('Prometheus text format.', 'text/plain'),
        '503': { description: 'The catalog does not answer.', content: problemContent },
      },
    },
  },
};

/** The OpenAPI 3.1 document of the routes, from the schemas that validate their requests. */
export function describeApi(routes: readonly Route[], version: string): OpenApiDocument {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method]: describeOperation(route) };
  }
  return createDocument(
    {
      openapi: '3.1.0',
      info: {
        title: 'Tidemark',
        version,
        description:
          'Backups and proven restores of PostgreSQL, MySQL and MariaDB.\n\n' +
          'Lists answer `{items, nextCursor}`, newest first. A POST that starts work answers 202 with the resource, which is read by GET ' +
          'until it settles. Errors are RFC 9457 problem documents; `type` leads to a page about the code.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      tags: [...new Set([...routes.map((route) => route.tag), 'Service'])].map((name) => ({ name })),
      paths: { ...paths, ...servicePaths },
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: 'A token made with POST /v1/tokens.' },
          session: { type: 'apiKey', in: 'cookie', name: 'tidemark_session', description: 'Set by POST /v1/sessions.' },
        },
      },
    },
    {
      // The bounds of every JavaScript integer say nothing, and the explorer would show them as the example: "port": -9007199254740991.
      override: ({ jsonSchema }) => {
        if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
        if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      },
    },
  );
}
