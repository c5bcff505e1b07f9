import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { z } from 'zod';
import { readStateFile } from '../../src/platform/state-file.js';

/** Asks the embedded Temporal of a service directly: what lies there is to be seen without the service. */
export async function withTemporal<T>(home: string, ask: (client: Client) => Promise<T>): Promise<T> {
  const ports = readStateFile(
    join(home, 'embedded.json'),
    z.object({ ports: z.record(z.string(), z.number()) }),
  )?.ports;
  const connection = await Connection.connect({ address: `127.0.0.1:${ports?.temporal}` });
  try {
    return await ask(new Client({ connection, namespace: 'tidemark' }));
  } finally {
    await connection.close();
  }
}
