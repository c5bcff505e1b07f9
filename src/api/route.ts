import type { Request, Response } from 'express';
import type { z } from 'zod';
import type { ErrorCode } from '../domain/errors.js';
import type { IdKind } from '../domain/ids.js';
import type { TokenScope } from '../domain/statuses.js';
import type { Principal, UsecaseContext } from '../usecases/context.js';

/**
 * A route is data: the router and the OpenAPI document are made from the same table, so that what is documented is what is checked.
 */

export type HttpMethod = 'get' | 'post' | 'patch' | 'put' | 'delete';

/** Answers that are not JSON: `stream` writes to the response itself. */
export type StreamBody = { readonly contentType: string; readonly description: string };

export type RouteInput<Body, Query> = {
  readonly context: UsecaseContext;
  readonly principal: Principal;
  /** Path parameters, each a well-formed id of its kind. */
  readonly params: Readonly<Record<string, string>>;
  readonly body: Body;
  readonly query: Query;
  readonly request: Request;
  readonly response: Response;
};

export type RouteDefinition<
  Body extends z.ZodType | undefined = undefined,
  Query extends z.ZodType | undefined = undefined,
  Answer extends z.ZodType | undefined = undefined,
> = {
  readonly method: HttpMethod;
  /** With `{name}` for parameters. */
  readonly path: `/v1/${string}`;
  readonly operationId: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** Scope a token needs; null: no authentication. */
  readonly scope: TokenScope | null;
  readonly params?: Readonly<Record<string, IdKind>>;
  readonly query?: Query;
  readonly body?: Body;
  /** Status of success. */
  readonly status: 200 | 201 | 202 | 204;
  readonly answer?: Answer;
  /** A handler that returns nothing answers 204 instead: what was to be removed is gone already. */
  readonly emptyWhenDone?: true;
  readonly stream?: StreamBody;
  /** Codes of the error table that this route gives besides those that every route can. */
  readonly errors?: readonly ErrorCode[];
  /** Reads the resource again by the id in its answer; where it stands, `Idempotency-Key` is honoured. */
  readonly replay?: (context: UsecaseContext, principal: Principal, id: string) => Promise<unknown>;
  /** Counts failed tries per address and per value of this body field, more strictly than other requests. */
  readonly strictLimitBy?: string;
  handle(
    input: RouteInput<
      Body extends z.ZodType ? z.output<Body> : undefined,
      Query extends z.ZodType ? z.output<Query> : undefined
    >,
  ): Promise<Answer extends z.ZodType ? z.input<Answer> | undefined : void>;
};

/** A route whose types were checked where it was defined. */
export type Route = Omit<RouteDefinition<z.ZodType, z.ZodType, z.ZodType>, 'handle'> & {
  handle(input: RouteInput<unknown, unknown>): Promise<unknown>;
};

/** Checks a route's handler against its schemas, then forgets the types so that routes can stand in one list. */
export function defineRoute<
  Body extends z.ZodType | undefined = undefined,
  Query extends z.ZodType | undefined = undefined,
  Answer extends z.ZodType | undefined = undefined,
>(definition: RouteDefinition<Body, Query, Answer>): Route {
  return definition as unknown as Route;
}

/** `/v1/plans/{id}` as Express writes it. */
export function expressPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1');
}

/** The id in a path that has one. */
export function idOf(params: Readonly<Record<string, string>>): string {
  const { id } = params;
  if (id === undefined) throw new Error('The route declares no parameter `id`.');
  return id;
}
