import type { Readable } from 'node:stream';

/** Where artifacts are kept, as registered; credentials are passed in memory only. */
export type DestinationConfig =
  | {
      readonly type: 's3';
      readonly endpoint: string | null;
      readonly bucket: string;
      readonly region: string;
      readonly prefix: string;
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly forcePathStyle: boolean;
    }
  | { readonly type: 'directory'; readonly path: string; readonly prefix: string };

export type StoredObjectInfo = { readonly key: string; readonly bytes: number; readonly modifiedAt: string };

/**
 * A store of immutable objects. Keys are relative to the destination's prefix and never start with a slash. Every method throws
 * `TidemarkError` with a destination_* or object_* code, naming the key.
 */
export interface Destination {
  readonly type: 's3' | 'directory';
  /** Human-readable place, such as `s3://bucket/prefix` – no credentials. */
  readonly location: string;
  /** Writes a small object whole. With `ifAbsent` an existing key makes it throw `manifest_exists` (If-None-Match: * where the store has it). */
  put(key: string, body: Uint8Array, options: { signal: AbortSignal; ifAbsent?: boolean }): Promise<void>;
  /** Streams an object of unknown size with back-pressure (16 MiB parts, 4 in flight); nothing is visible under `key` unless it resolves; aborted uploads are removed. */
  upload(
    key: string,
    body: Readable,
    options: { signal: AbortSignal; onBytes?: (bytes: number) => void },
  ): Promise<{ bytes: number }>;
  read(key: string, options: { signal: AbortSignal }): Promise<Readable>;
  stat(key: string, options: { signal: AbortSignal }): Promise<StoredObjectInfo | null>;
  list(prefix: string, options: { signal: AbortSignal }): AsyncIterable<StoredObjectInfo>;
  /** Removes keys; a key that is gone already is a success. */
  remove(keys: readonly string[], options: { signal: AbortSignal }): Promise<void>;
  /** Aborts multipart uploads (or temp files) under the prefix that began before `olderThan`; returns their keys. */
  sweepUploads(prefix: string, options: { olderThan: Date; signal: AbortSignal }): Promise<string[]>;
  close(): void;
}

/** Result of Put / Get / List / Delete with a probe object; `error` holds the first step that failed. */
export type DestinationCheck = {
  readonly steps: readonly {
    readonly step: 'put' | 'get' | 'list' | 'delete';
    readonly ok: boolean;
    readonly message: string | null;
  }[];
  readonly ok: boolean;
};
