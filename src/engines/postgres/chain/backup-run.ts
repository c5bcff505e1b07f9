import { TidemarkError } from '../../../domain/errors.js';
import type { StartedPart } from '../../engine.js';
import { BackupTap } from './backup-tap.js';
import type { OpenedSource } from './open-source.js';
import { CLOCK } from './open-source.js';

/** What a base backup is asked for. */
export type BackupWish = {
  readonly label: string;
  /** The manifest of the parent of an incremental. */
  readonly parentManifest: Buffer | null;
};

/** One base backup under way, whoever reads it from the server. */
export type BackupRun = {
  readonly tool: { readonly name: string; readonly version: string };
  /** Once it has passed whole. */
  readonly manifest: Buffer | null;
  /** The source's clock at the end of the backup. */
  readonly endedAt: Promise<string | null> | null;
  /** Resolves with the first bytes: until then the server may still refuse. */
  readonly flowing: Promise<void>;
  readonly closed: boolean;
  /** Safe to call twice. */
  start(): StartedPart;
  stop(): Promise<void>;
};

export const cancelled = () => new TidemarkError('cancelled', 'The run was cancelled.');

/** A tap that notes when bytes begin to flow and what the source's clock says when the server has ended the backup. */
export function openTap(source: OpenedSource): {
  readonly tap: BackupTap;
  readonly flowing: Promise<void>;
  endedAt(): Promise<string | null> | null;
} {
  let endedAt: Promise<string | null> | null = null;
  let flows = () => {};
  const flowing = new Promise<void>((resolve) => {
    flows = resolve;
  });
  const tap = new BackupTap({
    onFirstBytes: flows,
    onLog: () => {
      // The server ended the backup just now; afterwards it only sends log, which may take long.
      endedAt ??= source.session.value(CLOCK).catch(() => null);
    },
  });
  // Whoever reads it gets the error too; one that nobody reads yet must not end the process.
  tap.on('error', () => {});
  return { tap, flowing, endedAt: () => endedAt };
}

/** One line of at most 200 characters: it becomes a line of `backup_label`, and the server refuses long ones. */
export const labelText = (label: string) => label.replace(/[\0-\x1f]/g, ' ').slice(0, 200) || 'tidemark';
