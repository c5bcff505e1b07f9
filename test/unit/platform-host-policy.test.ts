import { expect, it } from 'vitest';
import { createHostPolicy } from '../../src/platform/host-policy.js';

const refused = { code: 'host_not_allowed' };

it('allows every host when nothing is configured', async () => {
  const policy = createHostPolicy({ allow: undefined, deny: [] });
  await policy.assertAllowed('db.example.com');
  await policy.assertAllowed('127.0.0.1');
});

it('refuses a denied name, and everything below a starred one, whatever its case or final dot', async () => {
  const policy = createHostPolicy({ allow: undefined, deny: ['db.example.com', '*.internal'] });
  await expect(policy.assertAllowed('DB.example.com.')).rejects.toMatchObject(refused);
  await expect(policy.assertAllowed('a.b.internal')).rejects.toMatchObject(refused);
  await policy.assertAllowed('mydb.example.com');
  await policy.assertAllowed('internal');
});

it('refuses a name that stands for a denied address', async () => {
  const policy = createHostPolicy({ allow: undefined, deny: ['127.0.0.0/8', '::1'] });
  await expect(policy.assertAllowed('localhost')).rejects.toMatchObject(refused);
  await expect(policy.assertAllowed('127.1.2.3')).rejects.toMatchObject(refused);
});

it('knows an IPv4 address that is written as IPv6', async () => {
  const policy = createHostPolicy({ allow: undefined, deny: ['169.254.169.254', '10.0.0.0/8'] });
  await expect(policy.assertAllowed('::ffff:169.254.169.254')).rejects.toMatchObject(refused);
  await expect(policy.assertAllowed('[::ffff:10.1.1.1]')).rejects.toMatchObject(refused);
});

it('with a list of allowed hosts refuses all others', async () => {
  const policy = createHostPolicy({ allow: ['*.example.com', '127.0.0.0/8', '::1'], deny: ['bad.example.com'] });
  await policy.assertAllowed('db.example.com');
  await policy.assertAllowed('localhost');
  await expect(policy.assertAllowed('bad.example.com')).rejects.toMatchObject(refused);
  await expect(policy.assertAllowed('192.0.2.1')).rejects.toMatchObject(refused);
  await expect(policy.assertAllowed('no-such-host.invalid')).rejects.toMatchObject(refused);
});

it('refuses a rule it does not understand, at start', () => {
  for (const rule of ['10.0.0.0/99', 'http://x', 'a b', '*']) {
    expect(() => createHostPolicy({ allow: undefined, deny: [rule] })).toThrow(/neither a host name nor/);
  }
});
