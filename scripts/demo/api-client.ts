import { setTimeout as sleep } from 'node:timers/promises';

/** What a failed call answered: the problem document's sentence, so that the demo's output explains itself. */
export class ApiProblem extends Error {}

/** A client of the public HTTP API, no more: the demo does what any user's script could do. */
export type ApiClient = {
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body?: unknown): Promise<T>;
  /** Reads `path` until its status is settled; answers the last reading. */
  untilSettled<T extends { status: string }>(path: string, onReading?: (reading: T) => void): Promise<T>;
};

export function createApiClient(base: string, token: string): ApiClient {
  async function call(method: string, path: string, body?: unknown) {
    const response = await fetch(new URL(path, base), {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    // biome-ignore lint/suspicious/noExplicitAny: the caller names the shape it reads; the API's own schemas are tested elsewhere
    const answer: any = await response.json();
    if (!response.ok)
      throw new ApiProblem(`${method} ${path}: ${answer.detail ?? answer.title ?? response.status} (${answer.code})`);
    return answer;
  }
  return {
    get: (path) => call('GET', path),
    post: (path, body = {}) => call('POST', path, body),
    async untilSettled<T extends { status: string }>(path: string, onReading?: (reading: T) => void) {
      for (;;) {
        const reading: T = await call('GET', path);
        onReading?.(reading);
        if (reading.status !== 'pending' && reading.status !== 'in_progress') return reading;
        await sleep(300);
      }
    },
  };
}
