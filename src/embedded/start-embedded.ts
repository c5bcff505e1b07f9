/** The components that `tidemark up` starts: catalog database, Temporal, S3 store, mail sink. Each can be replaced by the environment. */
import type { Config } from '../config.js';
import type { Logger } from '../platform/logger.js';
import type { ComponentDefinition } from './component.js';
import { EmbeddedState } from './embedded-state.js';
import { createHome } from './home-lock.js';
import { defineDatabase } from './start-database.js';
import { defineMailSink } from './start-mail-sink.js';
import type { S3Access } from './start-s3.js';
import { defineS3 } from './start-s3.js';
import { defineTemporal } from './start-temporal.js';
import type { Supervised, SuperviseTimings } from './supervise.js';
import { defaultTimings, supervise } from './supervise.js';

export interface Embedded {
  /** The configuration with the addresses of what was started in the places that were empty. */
  readonly config: Config & { readonly databaseUrl: string };
  readonly s3: S3Access;
  /** null when the mail server is the user's. */
  readonly mail: { readonly smtp: string; readonly view: string } | null;
  /** null when Temporal is the user's and TEMPORAL_UI_URL is not set. */
  readonly temporalUi: string | null;
  readonly state: EmbeddedState;
  readonly components: readonly Supervised[];
  /** In the reverse order of the start. */
  stop(): Promise<void>;
  /** As a crash: for tests, and for a person who will not wait. */
  kill(): Promise<void>;
}

export type StartEmbeddedOptions = {
  readonly config: Config;
  readonly logger: Logger;
  /** Called when a component runs under another process id. */
  readonly onChange?: () => void;
  readonly timings?: SuperviseTimings;
  /** Called before each component starts, for progress. */
  readonly onStep?: (what: string) => void;
};

/**
 * Starts what the configuration does not name, with the home's lock held (`lockHome`, `endLeftovers`). When one of them does not start, the others are
 * stopped and its error is thrown.
 */
export async function startEmbedded(options: StartEmbeddedOptions): Promise<Embedded> {
  const { config, logger } = options;
  const { home, install } = config;
  createHome(home);
  const state = new EmbeddedState(home);
  const components: Supervised[] = [];
  const timings = options.timings ?? defaultTimings;
  const startOne = async (definition: ComponentDefinition, title: string) => {
    options.onStep?.(title);
    components.push(await supervise(definition, logger, options.onChange, timings));
  };
  const endAll = async (how: 'stop' | 'kill') => {
    for (const component of components.toReversed()) await component[how]();
  };

  try {
    const database = config.databaseUrl === undefined ? defineDatabase(home, state, install) : null;
    if (database) await startOne(database.component, 'catalog database');
    const temporal =
      config.temporal.address === undefined ? defineTemporal(home, state, install, config.temporal.namespace) : null;
    if (temporal) await startOne(temporal.component, 'Temporal');
    const s3 = defineS3(home, state, install);
    await startOne(s3.component, 'S3 store');
    const mail = config.smtp.url === undefined ? defineMailSink(home, state) : null;
    if (mail) await startOne(mail.component, 'mail sink');
    const temporalUi = config.temporal.uiUrl ?? temporal?.uiUrl();
    return {
      config: {
        ...config,
        databaseUrl: config.databaseUrl ?? database?.url() ?? '',
        temporal: { ...config.temporal, address: config.temporal.address ?? temporal?.address(), uiUrl: temporalUi },
        smtp: { ...config.smtp, url: config.smtp.url ?? mail?.smtpUrl() },
      },
      s3: s3.access(),
      mail: mail ? { smtp: mail.smtpUrl(), view: mail.viewUrl() } : null,
      temporalUi: temporalUi ?? null,
      state,
      components,
      stop: () => endAll('stop'),
      kill: () => endAll('kill'),
    };
  } catch (error) {
    await endAll('stop');
    throw error;
  }
}
