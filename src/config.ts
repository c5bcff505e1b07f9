/**
 * The only reader of the environment: parsed once, with every fault named at once.
 *
 * What each variable means stands in `config-variables.ts`; a test holds the two together.
 */
import { resolve } from 'node:path';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import type { ConfigVariable } from './config-variables.js';
import { configVariables } from './config-variables.js';
import { TidemarkError } from './domain/errors.js';
import type { InstallEnvironment } from './platform/installed.js';

export type { ConfigVariable } from './config-variables.js';
export { configVariables } from './config-variables.js';

const text = z.string().min(1).optional();
const port = z.coerce.number('a port, 1 to 65535').int('a port, 1 to 65535').min(1).max(65535);
const flag = z.enum(['true', 'false', '1', '0']).transform((value) => value === 'true' || value === '1');
const list = (separator: string) =>
  z.string().transform((value) =>
    value
      .split(separator)
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  );
const url = (...protocols: string[]) =>
  z.string().refine(
    (value) => {
      const parsed = URL.parse(value);
      return parsed !== null && protocols.includes(parsed.protocol);
    },
    `an address that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
  );
/** Never simply all: anybody could then claim any address, and slip under every limit with a new one per request. */
const proxies = z
  .string()
  .transform((value) => (/^\d+$/.test(value) ? Number(value) : value.split(',').map((part) => part.trim())))
  .refine(
    (value) =>
      typeof value === 'number' ? value <= 16 : value.every((part) => ipaddr.isValid(part) || ipaddr.isValidCIDR(part)),
    'the number of proxies in front (0 to 16), or IP addresses and networks separated by commas',
  );

const schema = z.object({
  PORT: port.optional(),
  TIDEMARK_BIND: z
    .union([z.ipv4(), z.ipv6(), z.literal('localhost')], 'an IP address or localhost')
    .default('127.0.0.1'),
  TIDEMARK_PUBLIC_URL: url('http:', 'https:').optional(),
  TIDEMARK_TRUST_PROXY: proxies.default(0),
  TIDEMARK_HOME: z.string().default('.tidemark'),
  TIDEMARK_ADMIN_EMAIL: z
    .string()
    .regex(/^[^\s@]+@[^\s@]+$/, 'an e-mail address')
    .default('admin@localhost'),
  TIDEMARK_ADMIN_PASSWORD: z.string().min(12, 'at least 12 characters').optional(),
  TIDEMARK_ADMIN_TOKEN: z.string().min(32, 'at least 32 characters').optional(),
  TIDEMARK_MASTER_KEY: text,
  TIDEMARK_DIRECTORY_ROOTS: list(':').default([]),
  TIDEMARK_ALLOW_HOSTS: list(',').optional(),
  TIDEMARK_DENY_HOSTS: list(',').default([]),
  TIDEMARK_ORIGINAL_RESTORE_ADMIN_ONLY: flag.default(false),
  DATABASE_URL: url('postgres:', 'postgresql:').optional(),
  TEMPORAL_ADDRESS: z
    .string()
    .regex(/^[^\s/]+:\d+$/, 'host:port')
    .optional(),
  TEMPORAL_NAMESPACE: z.string().default('tidemark'),
  TEMPORAL_UI_URL: url('http:', 'https:').optional(),
  TEMPORAL_API_KEY: text,
  TEMPORAL_TLS: flag.default(false),
  TEMPORAL_TLS_CA: text,
  TEMPORAL_TLS_CERT: text,
  TEMPORAL_TLS_KEY: text,
  TEMPORAL_TLS_SERVER_NAME: text,
  SMTP_URL: url('smtp:', 'smtps:').optional(),
  SMTP_FROM: z.string().default('Tidemark <tidemark@localhost>'),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  TIDEMARK_ENGINES: text,
  TIDEMARK_WORKER_METRICS: z
    .string()
    .regex(/^[^\s/]+:\d+$/, 'host:port')
    .optional(),
  TIDEMARK_FAULTS: text,
  XDG_CACHE_HOME: text,
  HOME: text,
});

type VariableName = keyof z.input<typeof schema>;
export type LogLevel = z.infer<typeof schema>['LOG_LEVEL'];

export type TemporalConfig = {
  /** host:port; undefined when the embedded server is to be used. */
  readonly address: string | undefined;
  readonly namespace: string;
  readonly uiUrl: string | undefined;
  readonly apiKey: string | undefined;
  /** null: no TLS. Files are paths. */
  readonly tls: {
    readonly caFile: string | undefined;
    readonly certFile: string | undefined;
    readonly keyFile: string | undefined;
    readonly serverName: string | undefined;
  } | null;
};

export type Config = {
  /** Absolute path of TIDEMARK_HOME; not necessarily there yet. */
  readonly home: string;
  /** undefined: 7400, or any free port where that is allowed. */
  readonly port: number | undefined;
  readonly bind: string;
  readonly publicUrl: string | undefined;
  /** How many proxies stand in front of the API, or their addresses and networks; 0: nobody's word on the caller's address is taken. */
  readonly trustProxy: number | readonly string[];
  readonly admin: { readonly email: string; readonly password: string | undefined; readonly token: string | undefined };
  readonly masterKey: string | undefined;
  /** Absolute paths. */
  readonly directoryRoots: readonly string[];
  readonly hosts: { readonly allow: readonly string[] | undefined; readonly deny: readonly string[] };
  readonly originalRestoreAdminOnly: boolean;
  readonly databaseUrl: string | undefined;
  readonly temporal: TemporalConfig;
  readonly smtp: { readonly url: string | undefined; readonly from: string };
  readonly logLevel: LogLevel;
  /** host:port of a worker's own metrics. */
  readonly workerMetrics: string | undefined;
  /** Test hook of the activities (`src/activities/faults.ts`). */
  readonly faults: string | undefined;
  /** What `src/platform/installed.ts` needs to find engines and tools. */
  readonly install: InstallEnvironment;
};

export const DEFAULT_PORT = 7400;

/**
 * Reads and checks the environment. An empty variable counts as missing: compose files write those.
 * Throws `invalid_configuration` naming every wrong variable and what it takes; values are not repeated, they may be secrets.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = schema.safeParse(given);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new TidemarkError('invalid_configuration', `The environment is not valid. ${faults.join('; ')}`);
  }
  const v = parsed.data;
  const tls = v.TEMPORAL_TLS || v.TEMPORAL_API_KEY || v.TEMPORAL_TLS_CA || v.TEMPORAL_TLS_CERT;
  return {
    home: resolve(v.TIDEMARK_HOME),
    port: v.PORT,
    bind: v.TIDEMARK_BIND,
    publicUrl: v.TIDEMARK_PUBLIC_URL,
    trustProxy: v.TIDEMARK_TRUST_PROXY,
    admin: { email: v.TIDEMARK_ADMIN_EMAIL, password: v.TIDEMARK_ADMIN_PASSWORD, token: v.TIDEMARK_ADMIN_TOKEN },
    masterKey: v.TIDEMARK_MASTER_KEY,
    directoryRoots: v.TIDEMARK_DIRECTORY_ROOTS.map((root) => resolve(root)),
    hosts: { allow: v.TIDEMARK_ALLOW_HOSTS, deny: v.TIDEMARK_DENY_HOSTS },
    originalRestoreAdminOnly: v.TIDEMARK_ORIGINAL_RESTORE_ADMIN_ONLY,
    databaseUrl: v.DATABASE_URL,
    temporal: {
      address: v.TEMPORAL_ADDRESS,
      namespace: v.TEMPORAL_NAMESPACE,
      uiUrl: v.TEMPORAL_UI_URL,
      apiKey: v.TEMPORAL_API_KEY,
      tls: tls
        ? {
            caFile: v.TEMPORAL_TLS_CA,
            certFile: v.TEMPORAL_TLS_CERT,
            keyFile: v.TEMPORAL_TLS_KEY,
            serverName: v.TEMPORAL_TLS_SERVER_NAME,
          }
        : null,
    },
    smtp: { url: v.SMTP_URL, from: v.SMTP_FROM },
    logLevel: v.LOG_LEVEL,
    workerMetrics: v.TIDEMARK_WORKER_METRICS,
    faults: v.TIDEMARK_FAULTS,
    install: { HOME: v.HOME, XDG_CACHE_HOME: v.XDG_CACHE_HOME, TIDEMARK_ENGINES: v.TIDEMARK_ENGINES },
  };
}

/** Names that `loadConfig` knows; a test compares them with the table. */
export const knownVariableNames: readonly string[] = Object.keys(schema.shape);

/** Which of the known variables are set, for `tidemark doctor`; the values of secrets are not given. */
export function describeEnvironment(
  env: Readonly<Record<string, string | undefined>> = process.env,
): (ConfigVariable & { readonly set: boolean; readonly value: string | undefined })[] {
  return configVariables.map((variable: ConfigVariable) => {
    const value = env[variable.name] || undefined;
    return { ...variable, set: value !== undefined, value: variable.secret ? undefined : value };
  });
}

const INHERITED = /^(PATH|LANG|LANGUAGE|LC_[A-Z]+|TZ)$/;

/** What every child process may inherit: where programs are, and how text and times are written. */
export function inheritedEnvironment(): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && INHERITED.test(name)) out[name] = value;
  }
  return out;
}

/**
 * The environment from which `loadConfig` makes this configuration again: for a child that is Tidemark itself. What is only for the
 * API (port, proxies, first admin) is left out.
 */
export function toEnvironment(config: Config): Record<string, string> {
  const { temporal, hosts, smtp, install } = config;
  const values: Partial<Record<VariableName, string | undefined>> = {
    TIDEMARK_HOME: config.home,
    TIDEMARK_PUBLIC_URL: config.publicUrl,
    TIDEMARK_MASTER_KEY: config.masterKey,
    TIDEMARK_DIRECTORY_ROOTS: config.directoryRoots.join(':'),
    TIDEMARK_ALLOW_HOSTS: hosts.allow?.join(','),
    TIDEMARK_DENY_HOSTS: hosts.deny.join(','),
    TIDEMARK_ORIGINAL_RESTORE_ADMIN_ONLY: String(config.originalRestoreAdminOnly),
    DATABASE_URL: config.databaseUrl,
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    TEMPORAL_UI_URL: temporal.uiUrl,
    TEMPORAL_API_KEY: temporal.apiKey,
    TEMPORAL_TLS: String(temporal.tls !== null),
    TEMPORAL_TLS_CA: temporal.tls?.caFile,
    TEMPORAL_TLS_CERT: temporal.tls?.certFile,
    TEMPORAL_TLS_KEY: temporal.tls?.keyFile,
    TEMPORAL_TLS_SERVER_NAME: temporal.tls?.serverName,
    SMTP_URL: smtp.url,
    SMTP_FROM: smtp.from,
    LOG_LEVEL: config.logLevel,
    TIDEMARK_ENGINES: install.TIDEMARK_ENGINES,
    TIDEMARK_WORKER_METRICS: config.workerMetrics,
    TIDEMARK_FAULTS: config.faults,
    XDG_CACHE_HOME: install.XDG_CACHE_HOME,
    HOME: install.HOME,
  };
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== ''),
  );
}

/** Everything Tidemark reads, and HOME, as it stands in the environment; also when it is not valid. */
export function ownEnvironment(): Record<string, string> {
  const out: Record<string, string> = {};
  for (const name of knownVariableNames) {
    const value = process.env[name];
    if (value) out[name] = value;
  }
  return out;
}
