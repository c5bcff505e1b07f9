import type { Catalog } from '../catalog/client.js';
import type { MasterKey } from '../keys/types.js';
import type { MailServer } from '../notify/send-mail.js';
import type { Logger } from '../platform/logger.js';
import type { Faults } from './faults.js';

/** What the activities work with; made once per worker process. */
export type ActivityDeps = {
  readonly catalog: Catalog;
  readonly masterKey: MasterKey;
  readonly installationId: string;
  /** Roots of installed engine tools, searched before the PATH. */
  readonly toolRoots: readonly string[];
  readonly options: {
    /** Folder of this worker process for scratch folders, one per running activity; 0700. */
    readonly scratchRoot: string;
    /** Where log receivers keep what is not stored yet, one folder per chain; 0700, kept from one worker to the next. */
    readonly spoolRoot: string;
    /** Folder of this worker process for sandboxes, one per recovery; their servers' user can enter it. */
    readonly sandboxRoot: string;
    /** Roots under which `directory` destinations may lie. */
    readonly directoryRoots: readonly string[];
    /** Throws `host_not_allowed`; asked before any connection to a database or store. */
    readonly assertHostAllowed: (host: string) => Promise<void>;
    /** Who sends mail for us, and the address of the API as users see it, for links in mail. */
    readonly mail: MailServer & { readonly publicUrl: string | undefined };
    /** Version of Tidemark, for manifests. */
    readonly version: string;
  };
  readonly logger: Logger;
  readonly faults: Faults;
};
