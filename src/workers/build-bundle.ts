import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

/** Where `npm run build` puts the bundle: beside the compiled worker. */
export const builtBundlePath = fileURLToPath(new URL('./workflow-bundle.js', import.meta.url));

/** Bundles the workflows for the sandbox; half a second. Same source when run from `src/` (tsx) and from `dist/`. */
export async function bundleWorkflows(): Promise<{ code: string }> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL(`../workflows/index.${extension}`, import.meta.url)),
    // Progress of webpack is noise; its errors are thrown.
    logger: { log: () => {}, trace: () => {}, debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
  });
  return { code };
}

/** Writes the bundle for production; whole or not at all. */
export async function writeBundle(path: string = builtBundlePath): Promise<string> {
  const { code } = await bundleWorkflows();
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.new`, code);
  await rename(`${path}.new`, path);
  return path;
}
