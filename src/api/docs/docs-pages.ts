import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import express, { Router } from 'express';
import { errorTable, isErrorCode, TidemarkError } from '../../domain/errors.js';
import type { OpenApiDocument } from '../openapi.js';
import { errorCodes, renderErrorDoc } from './render-error-doc.js';

const escapeHtml = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const page = (title: string, body: string) => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escapeHtml(title)}</title><link rel="stylesheet" href="/docs/style.css"></head>
<body>${body}</body>
</html>
`;

const style = `body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #1b1f24 }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top }
code { background: #eef1f4; padding: .1rem .3rem; border-radius: 3px }
`;

const explorer = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Tidemark API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" href="/docs/assets/favicon-32x32.png">
</head>
<body>
<div id="docs"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/explorer.js"></script>
</body>
</html>
`;

const explorerScript = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#docs', deepLinking: true, persistAuthorization: false });
`;

// Only these of the package: it also carries source maps and a demo page that points elsewhere.
const assets = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'];

/** `/openapi.json`, the explorer at `/docs`, and a page per error code. Everything is served from here, nothing from the network. */
export function createDocsPages(document: OpenApiDocument): Router {
  const router = Router({ caseSensitive: true });
  const packageFolder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  const text = JSON.stringify(document);
  // Who opens the address that `npm start` prints, looks for something to read.
  router.get('/', (_request, response) => {
    response.redirect('/docs');
  });
  router.get('/openapi.json', (_request, response) => {
    response.type('application/json').send(text);
  });
  router.get('/docs', (_request, response) => {
    response.type('html').send(explorer);
  });
  router.get('/docs/explorer.js', (_request, response) => {
    response.type('text/javascript').send(explorerScript);
  });
  router.get('/docs/style.css', (_request, response) => {
    response.type('css').send(style);
  });
  for (const name of assets) {
    router.use(`/docs/assets/${name}`, express.static(join(packageFolder, name), { index: false, redirect: false }));
  }
  router.get('/docs/errors', (_request, response) => {
    const items = errorCodes.map(
      (code) =>
        `<li><a href="/docs/errors/${code}"><code>${code}</code></a> ${escapeHtml(errorTable[code].title)}</li>`,
    );
    response.type('html').send(page('Errors', `<h1>Errors</h1><ul>${items.join('')}</ul>`));
  });
  router.get('/docs/errors/:code', (request, response) => {
    const { code } = request.params;
    if (!isErrorCode(code)) throw new TidemarkError('not_found', 'There is no such error code.');
    if (request.accepts(['html', 'text/markdown']) === 'text/markdown') {
      response.type('text/markdown').send(renderErrorDoc(code));
      return;
    }
    const row = errorTable[code];
    response.type('html').send(
      page(
        row.title,
        `<h1>${escapeHtml(row.title)}</h1>
<table><tr><th>code</th><td><code>${code}</code></td></tr><tr><th>HTTP status</th><td>${row.status}</td></tr>
<tr><th>retried by itself</th><td>${row.retryable ? 'yes, where it happens inside a run' : 'no'}</td></tr></table>
<h2>What to do</h2><p>${escapeHtml(row.remedy)}</p>
<p>The <code>detail</code> of the problem document says what failed, on which object and why.</p>
<p><a href="/docs/errors">All errors</a> · <a href="/docs">API</a></p>`,
      ),
    );
  });
  return router;
}
