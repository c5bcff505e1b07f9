import { readFileSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { allRoutes } from '../../src/api/routers/all-routes.js';
import { credentialsPath, readCredentials } from '../../src/usecases/auth/credentials-file.js';
import { ensureFirstAdmin } from '../../src/usecases/auth/ensure-first-admin.js';
import { resetAdmin } from '../../src/usecases/auth/reset-admin.js';
import { adminPassword, databaseInput, useApi } from '../support/api-stack.js';

const api = useApi();

const signIn = (email: string, password: string) =>
  api.call('POST', '/v1/sessions', { body: { email, password }, token: null });
const cookieOf = (answer: { headers: Headers }) => answer.headers.getSetCookie()[0]?.split(';')[0] ?? '';

describe('tokens', () => {
  it('lets a valid token in and says who it is', async () => {
    const me = await api.call('GET', '/v1/me');
    expect(me.status).toBe(200);
    expect(me.body).toMatchObject({ email: 'admin@example.org', role: 'admin', scopes: ['read', 'operate', 'admin'] });
    expect(me.body.masterKeyConfirmedAt).toBeNull();
  });

  it.each([
    ['no header', null, {}],
    ['a wrong token', 'tmk_wrong', {}],
    ['another scheme', null, { authorization: 'Basic YWRtaW46YWRtaW4=' }],
    ['a header of blanks', null, { authorization: 'Bearer    ' }],
  ])('refuses %s with 401 and names the scheme', async (_what, token, headers) => {
    const answer = await api.call('GET', '/v1/me', { token, headers });
    expect(answer.status).toBe(401);
    expect(answer.body.code).toBe('unauthenticated');
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="tidemark"');
  });

  it('keeps only the hash of a token and shows the secret once', async () => {
    const made = await api.call('POST', '/v1/tokens', { body: { name: 'ci', scopes: ['read'] } });
    expect(made.status).toBe(201);
    expect(made.body.token).toMatch(/^tmk_[A-Za-z0-9_-]{43}$/);
    expect(made.headers.get('location')).toBe(`/v1/tokens/${made.body.id}`);
    const row = await api.catalog.prisma.token.findUniqueOrThrow({ where: { id: made.body.id } });
    expect(JSON.stringify(row)).not.toContain(made.body.token);
    for (const path of [`/v1/tokens/${made.body.id}`, '/v1/tokens']) {
      const answer = await api.call('GET', path);
      expect(answer.status).toBe(200);
      expect(answer.text).not.toContain(made.body.token);
      expect(answer.text).not.toContain(row.hash);
    }
    expect(api.log()).not.toContain(made.body.token);
  });

  it('ends a token at once when it is revoked, and again without complaint', async () => {
    const { body } = await api.call('POST', '/v1/tokens', { body: { name: 'short', scopes: ['read'] } });
    expect((await api.call('GET', '/v1/me', { token: body.token })).status).toBe(200);
    expect((await api.call('DELETE', `/v1/tokens/${body.id}`)).status).toBe(204);
    expect((await api.call('GET', '/v1/me', { token: body.token })).status).toBe(401);
    expect((await api.call('DELETE', `/v1/tokens/${body.id}`)).status).toBe(204);
    expect((await api.call('GET', `/v1/tokens/${body.id}`)).body.revokedAt).not.toBeNull();
  });

  it('refuses a token past its expiry, and an expiry in the past', async () => {
    const past = await api.call('POST', '/v1/tokens', {
      body: { name: 'old', scopes: ['read'], expiresAt: '2020-01-01T00:00:00Z' },
    });
    expect(past.status).toBe(400);
    expect(past.body.errors[0].field).toBe('/expiresAt');
    const soon = new Date(Date.now() + 60_000).toISOString();
    const { body } = await api.call('POST', '/v1/tokens', {
      body: { name: 'soon', scopes: ['read'], expiresAt: soon },
    });
    await api.catalog.prisma.token.update({ where: { id: body.id }, data: { expiresAt: new Date(Date.now() - 1000) } });
    expect((await api.call('GET', '/v1/me', { token: body.token })).status).toBe(401);
  });

  it('lets a read token read and nothing else, and never make a stronger one', async () => {
    const { token } = await api.createUser('user', ['read']);
    expect((await api.call('GET', '/v1/databases', { token })).status).toBe(200);
    const create = await api.call('POST', '/v1/databases', { token, body: databaseInput() });
    expect(create.status).toBe(403);
    expect(create.body.detail).toContain('`operate`');
    for (const scopes of [['read'], ['operate']]) {
      const made = await api.call('POST', '/v1/tokens', { token, body: { name: 'up', scopes } });
      expect([made.status, made.body.code]).toEqual([403, 'forbidden']);
    }
  });

  it('has no route that changes something for a read token, but ending that token itself', () => {
    const changing = allRoutes({ secureCookies: false }).filter(({ method }) => method !== 'get');
    expect(changing.length).toBeGreaterThan(20);
    const open = changing.filter(({ scope }) => scope === null || scope === 'read').map((route) => route.operationId);
    expect(open.sort()).toEqual(['createSession', 'revokeToken']);
  });

  it('lets an operate token make no stronger one', async () => {
    const { token } = await api.createUser('admin', ['operate']);
    const made = (scopes: string[]) => api.call('POST', '/v1/tokens', { token, body: { name: 'x', scopes } });
    expect((await made(['operate'])).status).toBe(201);
    expect((await made(['read', 'admin'])).status).toBe(403);
  });

  it('lets a token end itself, and another one only with at least its rights', async () => {
    const admin = await api.createUser('admin', ['admin']);
    const make = async (scope: string) => {
      const { body } = await api.call('POST', '/v1/tokens', {
        token: admin.token,
        body: { name: scope, scopes: [scope] },
      });
      return body as { id: string; token: string };
    };
    const [read, operate, strong] = [await make('read'), await make('operate'), await make('admin')];
    const stranger = await api.createUser('user', ['read']);
    const strangersId = (await api.call('GET', '/v1/me', { token: stranger.token })).body.tokenId as string;
    const revoke = async (token: string, id: string) =>
      (await api.call('DELETE', `/v1/tokens/${id}`, { token })).status;

    expect(await revoke(read.token, operate.id)).toBe(403);
    expect(await revoke(read.token, strangersId), "another user's, with an administrator's read token").toBe(403);
    expect(await revoke(operate.token, strangersId), "another user's, with an administrator's operate token").toBe(403);
    expect(await revoke(operate.token, strong.id), 'of the same user, but stronger').toBe(403);
    expect(await revoke(stranger.token, read.id), 'of somebody else: not even known to be there').toBe(404);
    for (const { token } of [read, operate, strong, stranger]) {
      expect((await api.call('GET', '/v1/me', { token })).status, 'refused is unharmed').toBe(200);
    }

    expect(await revoke(read.token, read.id), 'itself').toBe(204);
    expect((await api.call('GET', '/v1/me', { token: read.token })).status).toBe(401);
    const weak = await make('read');
    expect(await revoke(operate.token, weak.id)).toBe(204);
    expect(await revoke(strong.token, strangersId)).toBe(204);
  });

  it('lets a demoted admin end the tokens of better days', async () => {
    const former = await api.createUser('admin', ['operate']);
    const session = await signIn(former.email, former.password);
    const headers = { cookie: cookieOf(session), 'sec-fetch-site': 'same-origin' };
    const body = { name: 'root', scopes: ['admin'] };
    const old = await api.call('POST', '/v1/tokens', { token: null, body, headers });
    await api.call('PATCH', `/v1/users/${former.id}`, { body: { role: 'user' } });
    expect((await api.call('DELETE', `/v1/tokens/${old.body.id}`, { token: former.token })).status).toBe(204);
  });

  it('gives a user no admin scope and takes it from the tokens of a demoted admin', async () => {
    const plain = await api.createUser('user', ['operate']);
    const wish = await api.call('POST', '/v1/tokens', { token: plain.token, body: { name: 'x', scopes: ['admin'] } });
    expect(wish.status).toBe(403);
    const other = await api.createUser('admin', ['admin']);
    expect((await api.call('POST', '/v1/users', { token: other.token, body: {} })).status).toBe(400);
    await api.call('PATCH', `/v1/users/${other.id}`, { body: { role: 'user' } });
    expect((await api.call('POST', '/v1/users', { token: other.token, body: {} })).status).toBe(403);
    expect((await api.call('GET', '/v1/me', { token: other.token })).body.scopes).toEqual(['read', 'operate']);
  });
});

describe('ownership', () => {
  it("answers 404 for another user's objects and shows them in no list", async () => {
    const [one, two] = [await api.createUser(), await api.createUser()];
    const made = await api.call('POST', '/v1/databases', { token: one.token, body: databaseInput() });
    expect(made.status).toBe(201);
    const path = `/v1/databases/${made.body.id}`;
    for (const [method, target, body] of [
      ['GET', path, undefined],
      ['PATCH', path, { name: 'mine now' }],
      ['DELETE', path, undefined],
      ['POST', `${path}/check`, undefined],
    ] as const) {
      const answer = await api.call(method, target, { token: two.token, body });
      expect([method, answer.status, answer.body.code]).toEqual([method, 404, 'not_found']);
    }
    expect((await api.call('GET', '/v1/databases', { token: two.token })).body.items).toEqual([]);
    expect((await api.call('GET', path, { token: one.token })).body.name).toBe(made.body.name);
    expect((await api.call('GET', path)).status).toBe(200);
    expect((await api.call('GET', `/v1/tokens/${one.id.replace('usr', 'tok')}`, { token: two.token })).status).toBe(
      404,
    );
    expect((await api.call('GET', `/v1/users/${one.id}`, { token: two.token })).status).toBe(404);
  });
});

describe('users', () => {
  it('takes an address once, whatever its case, also from two requests at once', async () => {
    const body = { email: 'Twice@Example.org', role: 'user', password: 'a long password' };
    const answers = await Promise.all([
      api.call('POST', '/v1/users', { body }),
      api.call('POST', '/v1/users', { body: { ...body, email: 'twice@example.org' } }),
    ]);
    expect(answers.map((answer) => answer.status).sort()).toEqual([201, 409]);
  });

  it('keeps the last administrator', async () => {
    const me = await api.call('GET', '/v1/me');
    const others = await api.catalog.prisma.user.findMany({ where: { role: 'admin', id: { not: me.body.id } } });
    for (const other of others) await api.call('PATCH', `/v1/users/${other.id}`, { body: { role: 'user' } });
    expect((await api.call('PATCH', `/v1/users/${me.body.id}`, { body: { role: 'user' } })).status).toBe(409);
    expect((await api.call('DELETE', `/v1/users/${me.body.id}`)).status).toBe(409);
  });

  it('removes a user with tokens and sessions, but not one who owns something', async () => {
    const owner = await api.createUser();
    const made = await api.call('POST', '/v1/databases', { token: owner.token, body: databaseInput() });
    const refused = await api.call('DELETE', `/v1/users/${owner.id}`);
    expect(refused.status).toBe(409);
    expect(refused.body.references).toContain(made.body.id);
    const free = await api.createUser();
    expect((await api.call('DELETE', `/v1/users/${free.id}`)).status).toBe(204);
    expect((await api.call('GET', '/v1/me', { token: free.token })).status).toBe(401);
  });
});

describe('sessions', () => {
  it('signs a browser in with a cookie that scripts and other sites cannot use', async () => {
    const answer = await signIn('ADMIN@example.org', adminPassword);
    expect(answer.status).toBe(201);
    const [cookie = ''] = answer.headers.getSetCookie();
    expect(cookie).toMatch(/^tidemark_session=[A-Za-z0-9_-]{43}; .*HttpOnly/);
    expect(cookie).toContain('SameSite=Strict');
    const secret = cookieOf(answer).split('=')[1] ?? 'none';
    expect(answer.text).not.toContain(secret);
    expect(JSON.stringify(await api.catalog.prisma.session.findMany())).not.toContain(secret);
    const me = await api.call('GET', '/v1/me', { token: null, headers: { cookie: cookieOf(answer) } });
    expect(me.body).toMatchObject({ email: 'admin@example.org', tokenId: null });
  });

  it('changes nothing with a cookie that a foreign page sends', async () => {
    const cookie = cookieOf(await signIn('admin@example.org', adminPassword));
    const body = { name: 'stolen', scopes: ['read'] };
    const foreign: Record<string, string>[] = [
      {},
      { origin: 'https://evil.example' },
      { 'sec-fetch-site': 'same-site' },
    ];
    for (const headers of foreign) {
      const answer = await api.call('POST', '/v1/tokens', { token: null, body, headers: { cookie, ...headers } });
      expect(answer.status).toBe(403);
    }
    const own = await api.call('POST', '/v1/tokens', { token: null, body, headers: { cookie, origin: api.base } });
    expect(own.status).toBe(201);
  });

  it('answers a wrong password and an unknown address alike', async () => {
    const wrong = await signIn('admin@example.org', 'not the password');
    const unknown = await signIn('nobody@example.org', 'not the password');
    expect(wrong.status).toBe(401);
    const bare = ({ requestId: _, ...rest }: Record<string, unknown>) => rest;
    expect(bare(unknown.body)).toEqual(bare(wrong.body));
    expect(wrong.headers.getSetCookie()).toEqual([]);
  });

  it('ends with its deletion, and all end with a new password', async () => {
    const user = await api.createUser();
    const first = await signIn(user.email, user.password);
    const second = await signIn(user.email, user.password);
    const as = (answer: { headers: Headers }) => ({
      token: null,
      headers: { cookie: cookieOf(answer), 'sec-fetch-site': 'same-origin' },
    });
    expect((await api.call('DELETE', `/v1/sessions/${first.body.id}`, as(first))).status).toBe(204);
    expect((await api.call('GET', '/v1/me', as(first))).status).toBe(401);
    expect((await api.call('GET', '/v1/me', as(second))).status).toBe(200);
    await api.call('PATCH', `/v1/users/${user.id}`, { body: { password: 'another long password' } });
    expect((await api.call('GET', '/v1/me', as(second))).status).toBe(401);
    expect((await signIn(user.email, user.password)).status).toBe(401);
    expect((await signIn(user.email, 'another long password')).status).toBe(201);
  });
});

describe('the first administrator', () => {
  it('is made once: a second start changes nothing, whatever the environment says', async () => {
    const again = await ensureFirstAdmin(api.catalog, api.home, {
      email: 'other@example.org',
      password: 'some other password',
      token: undefined,
    });
    expect(again).toEqual({ created: false, credentialsFile: null });
    expect((await signIn('other@example.org', 'some other password')).status).toBe(401);
  });

  it('gets new credentials by a reset, in a file only its owner can read, and the old ones end', async () => {
    const admin = await api.createUser('admin', ['admin']);
    const result = await resetAdmin(api.catalog, api.home, { email: admin.email });
    expect(result).toEqual({ email: admin.email, credentialsFile: credentialsPath(api.home) });
    expect(statSync(result.credentialsFile).mode & 0o777).toBe(0o600);
    const made = readCredentials(api.home);
    expect(JSON.stringify(await api.catalog.prisma.user.findMany())).not.toContain(made?.password ?? 'none');
    expect((await api.call('GET', '/v1/me', { token: admin.token })).status).toBe(401);
    expect((await signIn(admin.email, admin.password)).status).toBe(401);
    expect((await api.call('GET', '/v1/me', { token: made?.token ?? null })).body.role).toBe('admin');
    expect((await signIn(admin.email, made?.password ?? '')).status).toBe(201);
    expect(readFileSync(result.credentialsFile, 'utf8')).toContain(admin.email);
  });
});

describe('audit', () => {
  it('records who changed what under the request id, without secrets', async () => {
    const user = await api.createUser();
    const input = databaseInput();
    const made = await api.call('POST', '/v1/databases', {
      token: user.token,
      body: input,
      headers: { 'x-request-id': 'audit-test-0001' },
    });
    const events = await api.call('GET', `/v1/audit-events?objectId=${made.body.id}`);
    expect(events.body.items).toEqual([
      expect.objectContaining({ action: 'database.created', userId: user.id, requestId: 'audit-test-0001' }),
    ]);
    const all = await api.call('GET', '/v1/audit-events?limit=200');
    expect(all.text).not.toContain(input.password);
    expect(all.text).not.toContain(user.token);
    const other = await api.createUser();
    const theirs = await api.call('GET', `/v1/audit-events?objectId=${made.body.id}`, { token: other.token });
    expect(theirs.body.items).toEqual([]);
  });
});
