/** What must be the same at the next start: ports and generated credentials. `TIDEMARK_HOME/embedded.json`, 0600. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { findFreePort, waitForFreePort } from '../platform/ports.js';
import { readStateFile, writeStateFile } from '../platform/state-file.js';

const portNames = ['api', 'temporal', 'temporalUi', 's3', 'smtp', 'mailView'] as const;
export type PortName = (typeof portNames)[number];

/** Where people expect these services. */
const usualPorts: Record<PortName, number> = {
  api: 7400,
  temporal: 7233,
  temporalUi: 8233,
  s3: 7070,
  smtp: 7025,
  mailView: 7026,
};

/** How long the port of the last start is waited for, in milliseconds. */
const FORMER_PORT_WAIT_MS = 1_000;

const schema = z.object({
  ports: z.partialRecord(z.enum(portNames), z.int()),
  /** The catalog's product, once created: data of one major is not readable by another. */
  databaseProduct: z.enum(['pg18', 'pg17']).nullable(),
  databasePassword: z.string(),
  s3: z.object({ accessKeyId: z.string(), secretAccessKey: z.string() }),
  /** True when the file system of the home has no extended attributes: the store then keeps its metadata in files beside its data. */
  s3Sidecar: z.boolean().default(false),
});
type Content = z.infer<typeof schema>;

export class EmbeddedState {
  readonly #path: string;
  #content: Content;
  readonly #taken = new Set<number>();

  constructor(home: string) {
    this.#path = join(home, 'embedded.json');
    this.#content = readStateFile(this.#path, schema) ?? {
      ports: {},
      databaseProduct: null,
      databasePassword: randomBytes(24).toString('hex'),
      s3: {
        accessKeyId: `TIDE${randomBytes(8).toString('hex').toUpperCase()}`,
        secretAccessKey: randomBytes(24).toString('hex'),
      },
      s3Sidecar: false,
    };
    this.#save();
  }

  get databaseProduct(): Content['databaseProduct'] {
    return this.#content.databaseProduct;
  }

  set databaseProduct(product: Content['databaseProduct']) {
    this.#content = { ...this.#content, databaseProduct: product };
    this.#save();
  }

  get s3Sidecar(): boolean {
    return this.#content.s3Sidecar;
  }

  set s3Sidecar(sidecar: boolean) {
    this.#content = { ...this.#content, s3Sidecar: sidecar };
    this.#save();
  }

  get databasePassword(): string {
    return this.#content.databasePassword;
  }

  get s3(): Content['s3'] {
    return this.#content.s3;
  }

  /** The port of the last start if it is free within a moment, else the usual one, else any; remembered. */
  async choosePort(name: PortName): Promise<number> {
    const former = this.#content.ports[name];
    // Other programs know this address: one that only tries whether the port is free, or is about to end, must not cost us it.
    if (former !== undefined && !this.#taken.has(former)) await waitForFreePort(former, FORMER_PORT_WAIT_MS);
    const wanted = [former, usualPorts[name]].filter((port) => port !== undefined && !this.#taken.has(port));
    let port = await findFreePort(...wanted);
    while (this.#taken.has(port)) port = await findFreePort();
    // Chosen ports are bound only later: two names must not get the same one meanwhile.
    this.#taken.add(port);
    if (this.#content.ports[name] !== port) {
      this.#content = { ...this.#content, ports: { ...this.#content.ports, [name]: port } };
      this.#save();
    }
    return port;
  }

  #save(): void {
    writeStateFile(this.#path, `${JSON.stringify(this.#content, null, 2)}\n`);
  }
}
