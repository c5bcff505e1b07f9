import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { describeEnvironment, knownVariableNames, loadConfig, toEnvironment } from '../../src/config.js';
import { configVariables } from '../../src/config-variables.js';

it('needs no variable at all', () => {
  const config = loadConfig({});
  expect(config).toMatchObject({
    home: resolve('.tidemark'),
    bind: '127.0.0.1',
    logLevel: 'info',
    temporal: { namespace: 'tidemark', tls: null },
  });
});

it('treats an empty variable as missing', () => {
  expect(loadConfig({ PORT: '', DATABASE_URL: '', LOG_LEVEL: '' })).toMatchObject({
    port: undefined,
    databaseUrl: undefined,
    logLevel: 'info',
  });
});

it('names every wrong variable at once and repeats no value', () => {
  const env = {
    PORT: '99999',
    LOG_LEVEL: 'loud',
    DATABASE_URL: 'mysql://u:hunter2@h/d',
    TIDEMARK_ADMIN_PASSWORD: 'short',
  };
  expect(() => loadConfig(env)).toThrow(expect.objectContaining({ code: 'invalid_configuration' }));
  try {
    loadConfig(env);
  } catch (error) {
    const { message } = error as Error;
    for (const name of Object.keys(env)) expect(message).toContain(name);
    for (const value of ['hunter2', 'short', '99999']) expect(message).not.toContain(value);
  }
});

it('uses TLS to Temporal when any sign of it is given', () => {
  expect(loadConfig({ TEMPORAL_API_KEY: 'k' }).temporal.tls).not.toBeNull();
  expect(loadConfig({ TEMPORAL_TLS_CERT: '/c', TEMPORAL_TLS_KEY: '/k' }).temporal.tls).toMatchObject({
    certFile: '/c',
    keyFile: '/k',
  });
  expect(loadConfig({ TEMPORAL_TLS: 'true' }).temporal.tls).not.toBeNull();
  expect(loadConfig({ TEMPORAL_TLS: '0' }).temporal.tls).toBeNull();
});

it('makes directory roots absolute', () => {
  expect(loadConfig({ TIDEMARK_DIRECTORY_ROOTS: '/a:b: ' }).directoryRoots).toEqual(['/a', resolve('b')]);
});

it('believes no proxy unless it is told how many or which ones, and never all', () => {
  const proxies = (value: string) => loadConfig({ TIDEMARK_TRUST_PROXY: value }).trustProxy;
  expect(loadConfig({}).trustProxy).toBe(0);
  expect(proxies('1')).toBe(1);
  expect(proxies('10.0.0.7, fd00::/8')).toEqual(['10.0.0.7', 'fd00::/8']);
  for (const wrong of ['true', 'proxy.example.com', '10.0.0.0/99', '-1', '1000000']) {
    expect(() => proxies(wrong), wrong).toThrow(/TIDEMARK_TRUST_PROXY: the number of proxies/);
  }
});

it('describes what is set without the value of a secret', () => {
  const described = describeEnvironment({ SMTP_URL: 'smtp://u:hunter2@h', LOG_LEVEL: 'debug' });
  expect(described.find((v) => v.name === 'SMTP_URL')).toMatchObject({ set: true, value: undefined });
  expect(described.find((v) => v.name === 'LOG_LEVEL')).toMatchObject({ set: true, value: 'debug' });
  expect(described).toHaveLength(configVariables.length);
});

it('describes exactly the variables it reads', () => {
  const described: string[] = configVariables.map((variable) => variable.name);
  // HOME is everybody's, not ours to describe.
  expect([...described, 'HOME'].sort()).toEqual([...knownVariableNames].sort());
});

it('can be handed to a child as an environment, without what is for the API alone', () => {
  const env = Object.fromEntries(knownVariableNames.map((name) => [name, `/x/${name.toLowerCase()}`]));
  Object.assign(env, {
    PORT: '1234',
    TIDEMARK_BIND: '0.0.0.0',
    TIDEMARK_TRUST_PROXY: '1',
    TIDEMARK_PUBLIC_URL: 'https://t.example.com',
    TIDEMARK_ADMIN_EMAIL: 'a@b',
    TIDEMARK_ADMIN_TOKEN: 't'.repeat(32),
    TIDEMARK_ORIGINAL_RESTORE_ADMIN_ONLY: 'true',
    DATABASE_URL: 'postgres://u:p@h/d',
    TEMPORAL_ADDRESS: 'h:7233',
    TEMPORAL_UI_URL: 'http://h:8233',
    TEMPORAL_TLS: 'true',
    SMTP_URL: 'smtp://h',
    LOG_LEVEL: 'debug',
    TIDEMARK_WORKER_METRICS: 'h:9000',
  });
  const config = loadConfig(env);
  const { port, bind, trustProxy, admin, ...shared } = config;
  const {
    port: childPort,
    bind: childBind,
    trustProxy: childProxy,
    admin: childAdmin,
    ...child
  } = loadConfig(toEnvironment(config));
  expect(child).toEqual(shared);
  expect([port, bind, trustProxy, admin.email]).toEqual([1234, '0.0.0.0', 1, 'a@b']);
  expect([childPort, childBind, childProxy, childAdmin.password, childAdmin.token]).toEqual([
    undefined,
    '127.0.0.1',
    0,
    undefined,
    undefined,
  ]);
});
