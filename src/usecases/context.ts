import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Catalog } from '../catalog/client.js';
import type { TokenScope, UserRole } from '../domain/statuses.js';
import type { MasterKey } from '../keys/types.js';

/** What every use case gets besides the caller and the input. Made once per process. */
export type UsecaseContext = {
  readonly catalog: Catalog;
  readonly temporal: Client;
  readonly masterKey: MasterKey;
  readonly installationId: string;
  readonly options: UsecaseOptions;
  readonly logger: Logger;
};

/** What the use cases about keys need; a command on the machine has no connection to Temporal. */
export type KeyContext = Pick<UsecaseContext, 'catalog' | 'masterKey' | 'installationId'>;

export type UsecaseOptions = {
  /** Roots under which `directory` destinations may lie (TIDEMARK_DIRECTORY_ROOTS). */
  readonly directoryRoots: readonly string[];
  /** Throws `host_not_allowed` for a host on the deny list; connections are checked again, after name resolution, by the worker. */
  readonly assertHostAllowed: (host: string) => Promise<void> | void;
  /** True when the namespace knows the typed search attributes; a start that names unknown ones is refused by Temporal. */
  readonly searchAttributes: boolean;
  /** An installation can demand that only admins restore over an original. */
  readonly originalNeedsAdmin: boolean;
  /** How long a check may take before the answer says so (milliseconds). */
  readonly checkTimeoutMs: number;
};

export const defaultUsecaseOptions: UsecaseOptions = {
  directoryRoots: [],
  assertHostAllowed: () => undefined,
  searchAttributes: false,
  originalNeedsAdmin: false,
  checkTimeoutMs: 29_000,
};

/** Who asks. `scopes` were checked against the route by the API; use cases decide on ownership and role. */
export type Principal = {
  readonly userId: string;
  readonly role: UserRole;
  readonly scopes: readonly TokenScope[];
  /** Null in a browser session and for commands run on the machine itself. */
  readonly tokenId: string | null;
  readonly requestId: string | null;
};
