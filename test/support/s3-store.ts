import { afterAll, beforeAll } from 'vitest';
import type { S3Store } from './start-s3-store.js';
import { startS3Store } from './start-s3-store.js';

export { type S3DestinationConfig, type S3Store, startS3Store } from './start-s3-store.js';

/** The store of this test file: started before its first test, gone after its last. Use its members inside tests and hooks only. */
export function useS3Store(): S3Store {
  let store: S3Store | undefined;
  beforeAll(async () => {
    store = await startS3Store();
  });
  afterAll(() => store?.close());
  return new Proxy({} as S3Store, {
    get(_target, name) {
      if (!store) throw new Error('the S3 store is not started yet: use it inside a test or hook');
      return Reflect.get(store, name) as unknown;
    },
  });
}
