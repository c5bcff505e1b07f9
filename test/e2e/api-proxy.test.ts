import { describe, expect, it } from 'vitest';
import { useApi } from '../support/api-stack.js';

const limits = { perAddress: 5, signIn: 2 };
const from = (address: string) => ({ 'x-forwarded-for': address });

describe('behind one proxy that was named', () => {
  const api = useApi({ limits, env: { TIDEMARK_TRUST_PROXY: '1' } });
  const signIn = (email: string, address: string) =>
    api.call('POST', '/v1/sessions', { token: null, body: { email, password: 'wrong' }, headers: from(address) });

  it('limits each address by itself', async () => {
    for (let count = 0; count < 3; count += 1) await signIn(`a${count}@example.org`, '203.0.113.1');
    expect((await signIn('b@example.org', '203.0.113.1')).status).toBe(429);
    expect((await signIn('b@example.org', '203.0.113.2')).status).toBe(401);
  });

  it('does not believe what a caller says of itself before the proxy', async () => {
    const spoofed = async (count: number) =>
      (await api.call('GET', '/v1/me', { token: null, headers: from(`198.51.100.${count}, 203.0.113.3`) })).status;
    const answers: number[] = [];
    for (let count = 0; count < 7; count += 1) answers.push(await spoofed(count));
    expect(answers).toEqual([401, 401, 401, 401, 401, 429, 429]);
  });
});

describe('without a proxy that was named', () => {
  const api = useApi({ limits });

  it('limits a caller by where the connection comes from, whatever its headers say', async () => {
    const answers: number[] = [];
    for (let count = 0; count < 7; count += 1) {
      const answer = await api.call('GET', '/v1/me', { token: null, headers: from(`203.0.113.${count}`) });
      answers.push(answer.status);
    }
    expect(answers).toEqual([401, 401, 401, 401, 401, 429, 429]);
  });
});
