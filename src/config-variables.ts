/** The environment variables Tidemark reads, as `tidemark doctor` and the docs list them. `config.ts` reads them. */

export type ConfigVariable = {
  readonly name: string;
  readonly description: string;
  /** As shown to people; undefined when there is none. */
  readonly default?: string;
  /** Its value is never shown. */
  readonly secret?: true;
};

/** Every environment variable Tidemark reads. */
export const configVariables = [
  { name: 'PORT', description: 'Port of the API', default: '7400, or a free one with `tidemark up`' },
  { name: 'TIDEMARK_BIND', description: 'Address the API listens on', default: '127.0.0.1' },
  {
    name: 'TIDEMARK_PUBLIC_URL',
    description: 'Address of the API as users see it, for links in mail and the Secure flag of cookies',
  },
  {
    name: 'TIDEMARK_TRUST_PROXY',
    description:
      'Proxies whose X-Forwarded-For is believed, for limits per address: how many stand in front, or their addresses and networks, ' +
      'separated by commas; none when missing',
  },
  { name: 'TIDEMARK_HOME', description: 'Folder of the state', default: '.tidemark' },
  { name: 'TIDEMARK_ADMIN_EMAIL', description: 'E-mail address of the first admin', default: 'admin@localhost' },
  { name: 'TIDEMARK_ADMIN_PASSWORD', description: 'Password of the first admin; generated when missing', secret: true },
  { name: 'TIDEMARK_ADMIN_TOKEN', description: 'A token of the first admin; generated when missing', secret: true },
  {
    name: 'TIDEMARK_MASTER_KEY',
    description: 'Master key (32 bytes, base64); generated into TIDEMARK_HOME when missing',
    secret: true,
  },
  {
    name: 'TIDEMARK_DIRECTORY_ROOTS',
    description: 'Folders, separated by colons, under which directory destinations and restore paths may lie',
  },
  {
    name: 'TIDEMARK_ALLOW_HOSTS',
    description: 'Host names and networks, separated by commas, that Tidemark may connect to; all when missing',
  },
  {
    name: 'TIDEMARK_DENY_HOSTS',
    description: 'Host names and networks, separated by commas, that Tidemark never connects to',
  },
  {
    name: 'TIDEMARK_ORIGINAL_RESTORE_ADMIN_ONLY',
    description: 'true: only admins restore over an original database',
    default: 'false',
  },
  {
    name: 'DATABASE_URL',
    description: 'PostgreSQL of the catalog; `tidemark up` starts its own when missing',
    secret: true,
  },
  { name: 'TEMPORAL_ADDRESS', description: 'host:port of Temporal; `tidemark up` starts its own when missing' },
  { name: 'TEMPORAL_NAMESPACE', description: 'Temporal namespace', default: 'tidemark' },
  { name: 'TEMPORAL_UI_URL', description: 'Address of the Temporal Web UI, for links', default: 'the embedded one' },
  { name: 'TEMPORAL_API_KEY', description: 'API key of Temporal Cloud; implies TLS', secret: true },
  { name: 'TEMPORAL_TLS', description: 'true: connect to Temporal with TLS', default: 'false' },
  { name: 'TEMPORAL_TLS_CA', description: 'File with the CA of the Temporal server' },
  { name: 'TEMPORAL_TLS_CERT', description: 'File with the client certificate for Temporal' },
  { name: 'TEMPORAL_TLS_KEY', description: 'File with the key of that certificate' },
  { name: 'TEMPORAL_TLS_SERVER_NAME', description: 'Name expected in the certificate of the Temporal server' },
  {
    name: 'SMTP_URL',
    description: 'Mail server, smtp:// or smtps://; `tidemark up` starts a local sink when missing',
    secret: true,
  },
  { name: 'SMTP_FROM', description: 'Sender of mail', default: 'Tidemark <tidemark@localhost>' },
  { name: 'LOG_LEVEL', description: 'trace, debug, info, warn, error, fatal or silent', default: 'info' },
  {
    name: 'TIDEMARK_ENGINES',
    description: 'Folder of the private database engines',
    default: '<cache>/tidemark/engines',
  },
  {
    name: 'TIDEMARK_WORKER_METRICS',
    description: 'host:port where a worker process shows its own Temporal metrics (Prometheus); off when missing',
  },
  {
    name: 'TIDEMARK_FAULTS',
    description: 'Tests only: where a worker stops and waits, see docs/decisions; never set it in production',
  },
  { name: 'XDG_CACHE_HOME', description: 'Folder of caches', default: '~/.cache' },
] as const satisfies readonly ConfigVariable[];
