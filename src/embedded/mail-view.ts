/** A page and JSON over the mail sink's messages. */
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { MailMessage, MailStore, MailSummary } from './mail-store.js';

const escapeHtml = (text: string) =>
  text.replace(/[&<>"']/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[c] ?? c);

const page = (title: string, body: string) =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title><style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd}pre{white-space:pre-wrap;background:#f6f6f6;padding:1rem}
</style></head><body>${body}</body></html>`;

function listPage(messages: MailSummary[]): string {
  const rows = messages.map(
    (m) =>
      `<tr><td>${escapeHtml(m.receivedAt)}</td><td>${escapeHtml(m.to.join(', '))}</td><td><a href="/messages/${m.id}.html">${escapeHtml(m.subject || '(no subject)')}</a></td></tr>`,
  );
  const body = rows.length
    ? `<table><tr><th>Received</th><th>To</th><th>Subject</th></tr>${rows.join('')}</table>`
    : '<p>No mail yet.</p>';
  return page('Mail', `<h1>Mail that Tidemark sent</h1>${body}`);
}

function messagePage(m: MailMessage): string {
  return page(
    m.subject,
    `<p><a href="/">All mail</a></p><h1>${escapeHtml(m.subject)}</h1><p>${escapeHtml(m.from)} to ${escapeHtml(m.to.join(', '))}, ${escapeHtml(m.receivedAt)}
 (<a href="/messages/${m.id}/raw">raw</a>)</p><pre>${escapeHtml(m.text || m.html)}</pre>`,
  );
}

/** Not yet listening. `/` and `/messages/<id>.html` for people; `/messages`, `/messages/<id>` as JSON; `/messages/<id>/raw`. */
export function createMailView(store: MailStore): Server {
  const answer = async (path: string): Promise<[status: number, type: string, body: string | Buffer]> => {
    if (path === '/') return [200, 'text/html', listPage(await store.list())];
    if (path === '/messages') return [200, 'application/json', JSON.stringify({ items: await store.list(200) })];
    const [, id = '', rest = ''] = /^\/messages\/([\w-]+)(\.html|\/raw)?$/.exec(path) ?? [];
    if (rest === '/raw') {
      const raw = store.raw(id);
      if (raw) return [200, 'text/plain', raw];
    }
    const message = id === '' ? null : await store.read(id);
    if (!message) return [404, 'application/json', JSON.stringify({ error: 'There is no such message.' })];
    return rest === '.html'
      ? [200, 'text/html', messagePage(message)]
      : [200, 'application/json', JSON.stringify(message)];
  };
  return createServer((request, response) => {
    const send = (status: number, type: string, body: string | Buffer) =>
      response
        .writeHead(status, {
          'content-type': `${type}; charset=utf-8`,
          // Mail is foreign text: nothing in it may run or load anything.
          'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
          'x-content-type-options': 'nosniff',
        })
        .end(body);
    // A page on the web could have its own name resolve to this address: only our own names are answered.
    if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? '')) {
      return void send(421, 'text/plain', 'Use the address 127.0.0.1.');
    }
    if (request.method !== 'GET') return void send(405, 'text/plain', 'Only GET.');
    answer((request.url ?? '/').split('?')[0] ?? '/').then(
      ([status, type, body]) => send(status, type, body),
      () => send(500, 'text/plain', 'The message could not be read.'),
    );
  });
}
