/** What the supervisor needs to know of a component, whatever it is. */
import type { ChildExit } from '../platform/spawn-child.js';

export type ComponentName = 'database' | 'temporal' | 's3' | 'mail' | 'worker';

/** A started component. */
export interface RunningComponent {
  /** undefined for what runs inside this process. */
  readonly pid: number | undefined;
  /** Settles when it ends, for whatever reason. */
  readonly exited: Promise<ChildExit>;
  /** Throws when it does not do its work; must give up by itself within some seconds. */
  check(): Promise<void>;
  /** Orderly; resolves when it has ended. */
  stop(): Promise<void>;
  /** At once. */
  kill(): Promise<void>;
}

export interface ComponentDefinition {
  readonly name: ComponentName;
  /** Starts it on its data and resolves when it is ready. Called again after each death. */
  start(): Promise<RunningComponent>;
}
