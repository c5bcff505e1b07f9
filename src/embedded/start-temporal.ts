import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { TidemarkError } from '../domain/errors.js';
import type { InstallEnvironment } from '../platform/installed.js';
import { toolPath } from '../platform/installed.js';
import { spawnChild } from '../platform/spawn-child.js';
import { searchAttributeNames } from '../workflows/names.js';
import type { ComponentDefinition } from './component.js';
import type { EmbeddedState } from './embedded-state.js';
import { markerEnvironment } from './home-lock.js';
import { PortKeeper } from './start-on-free-port.js';
import { waitUntilHealthy } from './wait-until-healthy.js';

/** How long finished workflows can be looked at in the Web UI. */
const RETENTION_DAYS = 30;

export interface EmbeddedTemporal {
  readonly component: ComponentDefinition;
  /** Known once it was started. */
  address(): string;
  uiUrl(): string;
}

/** Temporal's development server on a database file, with its Web UI. */
export function defineTemporal(
  home: string,
  state: EmbeddedState,
  install: InstallEnvironment,
  namespace: string,
): EmbeddedTemporal {
  const ports = new PortKeeper(state, 'temporal', 'temporalUi');
  const dir = join(home, 'temporal');
  const logFile = join(dir, 'temporal.log');

  const start = async ({ temporal: port, temporalUi: uiPort }: Record<'temporal' | 'temporalUi', number>) => {
    const address = `127.0.0.1:${port}`;
    const program = toolPath('temporal', install);
    if (program === null) {
      throw new TidemarkError(
        'tools_missing',
        'The Temporal server is not installed. `npm run doctor` says how to get it.',
      );
    }
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const child = spawnChild({
      command: program,
      args: [
        'server',
        'start-dev',
        `--db-filename=${join(dir, 'temporal.db')}`,
        '--ip=127.0.0.1',
        `--port=${port}`,
        `--ui-port=${uiPort}`,
        `--namespace=${namespace}`,
        ...Object.values(searchAttributeNames).map((name) => `--search-attribute=${name}=Keyword`),
        '--log-level=warn',
        '--log-format=json',
        // A person's own settings for the command line tool are not ours to obey.
        '--disable-config-file',
        '--disable-config-env',
      ],
      env: { HOME: dir, ...markerEnvironment(home) },
      cwd: dir,
      logFile,
      // It takes 3 s to end in an orderly way.
      graceMs: 15_000,
      label: 'the Temporal server',
    });
    await waitUntilHealthy(child, () => prepareNamespace(address, namespace), { timeoutMs: 60_000, logFile, port });
    return {
      pid: child.pid,
      exited: child.exited,
      check: () => checkHealth(address),
      stop: async () => void (await child.kill()),
      kill: async () => void (await child.kill('SIGKILL')),
    };
  };

  return {
    component: { name: 'temporal', start: () => ports.start(start) },
    address: () => `127.0.0.1:${ports.get('temporal')}`,
    uiUrl: () => `http://127.0.0.1:${ports.get('temporalUi')}`,
  };
}

async function withConnection<T>(address: string, use: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address, connectTimeout: 4_000 });
  try {
    return await connection.withDeadline(Date.now() + 4_000, () => use(connection));
  } finally {
    await connection.close();
  }
}

async function checkHealth(address: string): Promise<void> {
  await withConnection(address, async (connection) => {
    const { status } = await connection.healthService.check({
      service: 'temporal.api.workflowservice.v1.WorkflowService',
    });
    // 1 = SERVING in grpc.health.v1.
    if (status !== 1) throw new Error(`Temporal reports health status ${status}`);
  });
}

/** The server creates the namespace with a retention of one day, and late: answering is not being ready. */
async function prepareNamespace(address: string, namespace: string): Promise<void> {
  await withConnection(address, async (connection) => {
    const described = await connection.workflowService.describeNamespace({ namespace });
    const wanted = RETENTION_DAYS * 86_400;
    const seconds = Number(described.config?.workflowExecutionRetentionTtl?.seconds ?? 0);
    if (seconds < wanted) {
      await connection.workflowService.updateNamespace({
        namespace,
        config: { workflowExecutionRetentionTtl: { seconds: wanted as unknown as Long, nanos: 0 } },
      });
    }
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = Object.values(searchAttributeNames).filter((name) => !(name in (customAttributes ?? {})));
    if (missing.length > 0) throw new Error(`Temporal does not know the search attributes ${missing.join(', ')} yet`);
  });
}
