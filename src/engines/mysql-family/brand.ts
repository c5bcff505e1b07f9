import type { LogPosition } from '../../domain/positions.js';
import type { Session } from './session.js';

/** What differs between MySQL and MariaDB; all else is shared code. */
export type Brand = {
  readonly kind: 'mysql' | 'mariadb';
  readonly title: string;
  readonly dumpProgram: string;
  readonly clientProgram: string;
  /** The program that receives the binary log, and its option for the id under which it registers as a replica. */
  readonly logProgram: string;
  readonly logServerIdOption: string;
  /** `9.7` of `9.7.4-2`; null when the server is of the other brand. */
  majorOf(version: string): string | null;
  /** Who the server is, as text (design section 1). */
  identity(session: Session): Promise<string>;
  /** Reads GTIDs and, where the role may, file and offset. Run while nothing can be committed. */
  position(session: Session): Promise<LogPosition>;
  /** Text that changes with every commit, for sources on which no lock can be taken; null when the server keeps no such thing. */
  commitMark(session: Session): Promise<string | null>;
  /** Flags of the dump tool beyond the common ones. */
  dumpFlags(options: { readonly versionedTables: boolean }): readonly string[];
  /** Flags of the client beyond the common ones. */
  readonly clientFlags: readonly string[];
  /** Packages, sequences and so on; only MariaDB has them. */
  readonly hasSequences: boolean;
  readonly hasPackages: boolean;
  /** Takes the short lock; see hold-writes.ts. */
  readonly lock: 'tables' | 'global';
  isReplica(session: Session): Promise<boolean | null>;
};
