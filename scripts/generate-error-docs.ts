/** `npm run docs:errors`: writes docs/errors/ from the error table, and removes pages of codes that are gone. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { errorCodes, renderErrorDoc, renderErrorIndex } from '../src/api/docs/render-error-doc.js';

const folder = fileURLToPath(new URL('../docs/errors/', import.meta.url));
const pages = new Map([
  ['README.md', renderErrorIndex()],
  ...errorCodes.map((code): [string, string] => [`${code}.md`, renderErrorDoc(code)]),
]);

await mkdir(folder, { recursive: true });
for (const name of await readdir(folder)) {
  if (!pages.has(name)) await rm(`${folder}${name}`);
}
for (const [name, text] of pages) await writeFile(`${folder}${name}`, text);
console.log(`Wrote ${pages.size} pages to docs/errors.`);
