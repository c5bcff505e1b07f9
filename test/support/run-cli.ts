/** The `tidemark` command as people run it, against the embedded store of a service under test. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll } from 'vitest';
import { ownEnvironment } from '../../src/config.js';
import type { TestService } from './tidemark.js';

const repository = resolve(import.meta.dirname, '../..');

export type Said = { readonly code: number; readonly out: string; readonly err: string };

/** Runs `tidemark <command>` on a prefix of the service's store; its own TIDEMARK_HOME is that of another installation, or none. */
export function useStoreCommand(service: TestService, prefix: string) {
  const scratch = mkdtempSync(join(tmpdir(), 'tm-cli-'));
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));
  return (command: 'extract' | 'import', more: readonly string[], home = scratch): Promise<Said> => {
    const { bucket, endpoint, accessKeyId, secretAccessKey } = service.process.run().s3;
    const credentials = join(scratch, 's3.json');
    writeFileSync(credentials, JSON.stringify({ accessKeyId, secretAccessKey }), { mode: 0o600 });
    const from = ['--from', `s3://${bucket}/${prefix}`, '--credentials', credentials, '--endpoint', endpoint];
    return new Promise((done) => {
      execFile(
        process.execPath,
        ['--import', 'tsx', join(repository, 'src/cli/main.ts'), command, ...from, ...more],
        { cwd: repository, env: { ...ownEnvironment(), TIDEMARK_HOME: home }, maxBuffer: 1 << 26 },
        (error, out, err) => done({ code: error ? Number(error.code ?? 1) : 0, out, err }),
      );
    });
  };
}
