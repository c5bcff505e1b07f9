import { expect, it } from 'vitest';
import { createLogger } from '../../src/platform/logger.js';

function logged(write: (logger: ReturnType<typeof createLogger>) => void, redact: string[] = []): string {
  let out = '';
  const destination = {
    write: (line: string) => {
      out += line;
    },
  };
  write(createLogger({ level: 'info', name: 'test', destination, redact }));
  return out;
}

it('writes one JSON object per line, with time and level as words', () => {
  const line = JSON.parse(logged((log) => log.info({ database: 'db_1' }, 'checked')));
  expect(line).toMatchObject({ level: 'info', name: 'test', database: 'db_1', msg: 'checked' });
  expect(line.time).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
});

it('hides secrets by field name, at three levels', () => {
  const out = logged((log) =>
    log.info({
      password: 'aaaa-1',
      a: { secretAccessKey: 'bbbb-2', b: { token: 'cccc-3' } },
      req: { headers: { authorization: 'dddd-4' } },
    }),
  );
  for (const secret of ['aaaa-1', 'bbbb-2', 'cccc-3', 'dddd-4']) expect(out).not.toContain(secret);
});

it('hides the password of an address in any text, and secrets known by value', () => {
  const out = logged(
    (log) =>
      log.error({ err: new Error('cannot connect to postgres://u:hunter2@db/x with s3cr"et!') }, 'key is s3cr"et!'),
    ['s3cr"et!'],
  );
  expect(out).not.toContain('hunter2');
  expect(out).not.toContain('s3cr');
  expect(out).toContain('postgres://u:[hidden]@db/x');
  expect(() => JSON.parse(out)).not.toThrow();
});

it('keeps what explains an error and drops what drivers hang on it', () => {
  const cause = Object.assign(new Error('duplicate'), {
    code: '23505',
    detail: 'Key (ssn)=(123-45) exists',
    sql: "INSERT '123-45'",
  });
  const out = logged((log) => log.error({ err: new Error('could not save', { cause }) }, 'failed'));
  const line = JSON.parse(out);
  expect(line.err).toMatchObject({ message: 'could not save', cause: { message: 'duplicate', code: '23505' } });
  expect(out).not.toContain('123-45');
});
