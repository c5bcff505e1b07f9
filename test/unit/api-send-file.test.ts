import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import express from 'express';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { answerErrors } from '../../src/api/http-errors.js';
import type { ServedFile } from '../../src/api/send-file.js';
import { sendFile } from '../../src/api/send-file.js';
import { TidemarkError } from '../../src/domain/errors.js';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function download(file: ServedFile) {
  const app = express();
  app.get('/', (request, response, next) => {
    sendFile(request, response, file).catch(next);
  });
  app.use(answerErrors(pino({ level: 'silent' })));
  const server = createServer(app).listen(0);
  closers.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  return new Promise<{ status: number; headers: object; body: Buffer; broken: boolean }>((resolve) => {
    get({ port }, (response) => {
      const chunks: Buffer[] = [];
      const end = () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks),
          broken: !response.complete,
        });
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', () => undefined);
      response.on('close', end);
    }).on('error', () => resolve({ status: 0, headers: {}, body: Buffer.alloc(0), broken: true }));
  });
}

const part = Buffer.alloc(64 * 1024, 'x');

describe('a download', () => {
  it('arrives complete, as a file with a name that no client reads as something else', async () => {
    const stream = Readable.from([part, part]);
    const answer = await download({ stream, filename: 'shop "x"\r\nSet-Cookie: a=b.sql', bytes: part.length * 2 });
    expect(answer.status).toBe(200);
    expect(answer.broken).toBe(false);
    expect(answer.body.length).toBe(part.length * 2);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-disposition': expect.stringMatching(
        /^attachment; filename="shop__x___Set-Cookie__a_b\.sql"; filename\*=UTF-8''shop%20/,
      ),
    });
    expect(answer.headers).not.toHaveProperty('set-cookie');
  });

  it('that fails its checks in the middle breaks the connection and never looks complete', async () => {
    async function* corrupt() {
      yield part;
      yield part;
      throw new TidemarkError('object_corrupt', 'The object is not what was written.');
    }
    const answer = await download({
      stream: Readable.from(corrupt()),
      filename: 'dump.sql',
      bytes: part.length * 2 + 1,
    });
    expect(answer.broken).toBe(true);
  });

  it('that fails at its very end, with all bytes read, is broken too', async () => {
    async function* corrupt() {
      yield part;
      yield part;
      throw new TidemarkError('object_corrupt', 'The object is not what was written.');
    }
    const answer = await download({ stream: Readable.from(corrupt()), filename: 'dump.sql', bytes: part.length * 2 });
    expect(answer.broken).toBe(true);
    expect(answer.body.length).toBeLessThan(part.length * 2);
  });

  it('that fails before the first byte is out is a problem document, with nothing of the file about it', async () => {
    async function* corrupt() {
      yield part;
      throw new TidemarkError('object_corrupt', 'The object is not what was written.');
    }
    const answer = await download({ stream: Readable.from(corrupt()), filename: 'dump.sql', bytes: part.length });
    expect([answer.status, answer.broken]).toEqual([422, false]);
    expect(JSON.parse(answer.body.toString())).toMatchObject({ code: 'object_corrupt' });
    expect(answer.headers).not.toHaveProperty('content-disposition');
  });

  it('of an empty file is an empty file', async () => {
    const answer = await download({ stream: Readable.from([]), filename: 'empty', bytes: 0 });
    expect([answer.status, answer.broken, answer.body.length]).toEqual([200, false, 0]);
  });
});
