import { once } from 'node:events';
import type { Server } from 'node:net';
import { connect } from 'node:net';
import { join } from 'node:path';
import { SMTPServer } from 'smtp-server';
import type { ChildExit } from '../platform/spawn-child.js';
import type { ComponentDefinition } from './component.js';
import type { EmbeddedState } from './embedded-state.js';
import { MailStore } from './mail-store.js';
import { createMailView } from './mail-view.js';
import { PortKeeper } from './start-on-free-port.js';

const MAX_MESSAGE_BYTES = 10 * 1024 * 1024;

export interface EmbeddedMail {
  readonly component: ComponentDefinition;
  /** Known once it was started. */
  smtpUrl(): string;
  viewUrl(): string;
}

/** A mail server that keeps every message below the home and delivers none, with a page to read them. */
export function defineMailSink(home: string, state: EmbeddedState): EmbeddedMail {
  const ports = new PortKeeper(state, 'smtp', 'mailView');
  const store = new MailStore(join(home, 'mail'));

  const start = async ({ smtp: smtpPort, mailView: viewPort }: Record<'smtp' | 'mailView', number>) => {
    const smtp = createSmtpServer(store);
    const view = createMailView(store);
    const exited = new Promise<ChildExit>((resolve) => {
      const ended = (why: string) => resolve({ code: null, signal: null, stderr: why, stopped: false });
      smtp.server.once('close', () => ended('the SMTP server closed'));
      view.once('close', () => ended('the page of the mail sink closed'));
    });
    // A client that breaks off raises 'error' here; without a listener it would end the service.
    smtp.on('error', () => {});
    const close = async () => {
      view.closeAllConnections();
      await Promise.all([new Promise<void>((done) => smtp.close(() => done())), closeServer(view)]);
    };
    try {
      await Promise.all([listen(smtp.server, smtpPort), listen(view, viewPort)]);
    } catch (error) {
      await close();
      throw error;
    }
    view.on('error', () => {});
    return { pid: undefined, exited, check: () => greet(smtpPort), stop: close, kill: close };
  };

  return {
    component: { name: 'mail', start: () => ports.start(start) },
    smtpUrl: () => `smtp://127.0.0.1:${ports.get('smtp')}`,
    viewUrl: () => `http://127.0.0.1:${ports.get('mailView')}`,
  };
}

function createSmtpServer(store: MailStore): SMTPServer {
  return new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    disableReverseLookup: true,
    size: MAX_MESSAGE_BYTES,
    closeTimeout: 1_000,
    logger: false,
    onAuth: (auth, _session, done) => done(null, { user: auth.username ?? 'anonymous' }),
    onData(stream, _session, done) {
      const chunks: Buffer[] = [];
      let size = 0;
      stream.on('data', (chunk: Buffer) => {
        size += chunk.length;
        // Read to its end even when it is too long: the answer comes after the message.
        if (size <= MAX_MESSAGE_BYTES) chunks.push(chunk);
      });
      stream.on('end', () => {
        if (size > MAX_MESSAGE_BYTES) {
          done(Object.assign(new Error('The message is too large.'), { responseCode: 552 }));
          return;
        }
        try {
          store.add(Buffer.concat(chunks));
          done();
        } catch (error) {
          done(error instanceof Error ? error : new Error(String(error)));
        }
      });
    },
  });
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/** Well when it says its greeting. */
function greet(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 4_000 });
    const end = (error?: Error) => {
      socket.destroy();
      if (error) reject(error);
      else resolve();
    };
    socket.once('data', (data) => end(data.toString().startsWith('220') ? undefined : new Error('it does not greet')));
    socket.once('timeout', () => end(new Error('it does not greet within 4 s')));
    socket.once('error', end);
    socket.once('close', () => end(new Error('it hung up')));
  });
}
