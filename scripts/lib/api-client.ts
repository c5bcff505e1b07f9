import { setTimeout as sleep } from 'node:timers/promises';

/** What a failed call answered: status and problem document. */
export class ApiProblem extends Error {
  readonly status: number;
  readonly code: string;

  constructor(message: string, status: number, code: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** A client of the public HTTP API, no more: demo, soak and tests do what any user's script could do. */
export type ApiClient = {
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body?: unknown): Promise<T>;
  put<T>(path: string, body: unknown): Promise<T>;
  patch<T>(path: string, body: unknown): Promise<T>;
  delete(path: string): Promise<void>;
  /** The raw answer, whatever its status. */
  send(method: string, path: string, body?: unknown): Promise<Response>;
  /** Reads `path` until its status is settled; answers the last reading. Survives an API that restarts meanwhile. */
  untilSettled<T extends { status: string }>(
    path: string,
    options?: { withinMs?: number; onReading?: (reading: T) => void },
  ): Promise<T>;
};

const SETTLE_WITHIN_MS = 300_000;

export function createApiClient(base: string | (() => string), token: string): ApiClient {
  const send = (method: string, path: string, body?: unknown) =>
    fetch(new URL(path, typeof base === 'string' ? base : base()), {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    });

  async function call(method: string, path: string, body?: unknown) {
    const response = await send(method, path, body);
    const text = await response.text();
    // biome-ignore lint/suspicious/noExplicitAny: the caller names the shape it reads; the API's own schemas are tested elsewhere
    const answer: any = text === '' ? null : JSON.parse(text);
    if (response.ok) return answer;
    const said = answer?.detail ?? answer?.title ?? text;
    throw new ApiProblem(`${method} ${path}: ${said} (${answer?.code})`, response.status, answer?.code ?? '');
  }

  return {
    send,
    get: (path) => call('GET', path),
    post: (path, body = {}) => call('POST', path, body),
    put: (path, body) => call('PUT', path, body),
    patch: (path, body) => call('PATCH', path, body),
    delete: (path) => call('DELETE', path),
    async untilSettled<T extends { status: string }>(
      path: string,
      { withinMs = SETTLE_WITHIN_MS, onReading }: { withinMs?: number; onReading?: (reading: T) => void } = {},
    ) {
      const giveUpAt = Date.now() + withinMs;
      for (;;) {
        try {
          const reading: T = await call('GET', path);
          onReading?.(reading);
          if (reading.status !== 'pending' && reading.status !== 'in_progress') return reading;
        } catch (error) {
          // A 4xx is an answer; anything else may pass: the API or its catalog is being restarted.
          if (error instanceof ApiProblem && error.status < 500) throw error;
          if (Date.now() > giveUpAt) throw error;
        }
        if (Date.now() > giveUpAt) throw new Error(`${path} did not settle within ${withinMs / 1000} s`);
        await sleep(250);
      }
    },
  };
}
