// Builds dist/: what the image runs. The compiled tree, and the workflow bundle, so that a worker does not bundle at every start.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');

// A file that was removed from src/ must not live on in the image.
rmSync(dist, { recursive: true, force: true });
execFileSync(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')],
  {
    stdio: 'inherit',
  },
);

// The compiled bundler bundles the compiled workflows and puts the result beside itself.
const { writeBundle } = (await import(pathToFileURL(join(dist, 'workers/build-bundle.js')).href)) as {
  writeBundle: () => Promise<string>;
};
console.log(`bundled the workflows into ${relative(root, await writeBundle())}`);
