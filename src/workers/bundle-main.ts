/** Run as a process of its own by a worker that has no built bundle: `bundle-main <file>`. */
import { writeBundle } from './build-bundle.js';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('bundle-main takes the file to write');
await writeBundle(path);
