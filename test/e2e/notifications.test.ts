/** Events reach people: from their row through the reconciler, a workflow and a worker to a mail server; and clean-ups that people are told of. */
import { createServer } from 'node:net';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { SMTPServer } from 'smtp-server';
import { beforeAll, describe, expect, it } from 'vitest';
import { cleanUpSource } from '../../src/activities/people/clean-up-source.js';
import { noteEvent } from '../../src/catalog/runs/note-event.js';
import { newId } from '../../src/domain/ids.js';
import type { RunningComponent } from '../../src/embedded/component.js';
import { EmbeddedState } from '../../src/embedded/embedded-state.js';
import { MailStore } from '../../src/embedded/mail-store.js';
import type { EmbeddedMail } from '../../src/embedded/start-mail-sink.js';
import { defineMailSink } from '../../src/embedded/start-mail-sink.js';
import { sealText, secretContext } from '../../src/keys/seal.js';
import { sendMail } from '../../src/notify/send-mail.js';
import { createDatabase } from '../../src/usecases/create-database.js';
import { deleteDatabase } from '../../src/usecases/delete-database.js';
import { reconcileOnce } from '../../src/usecases/reconcile.js';
import { updateDatabase } from '../../src/usecases/update-database.js';
import { activityDeps } from '../support/activity-deps.js';
import { addChainRow, addPolicyRow } from '../support/chain-rows.js';
import { uniqueName, useEngine } from '../support/engine-servers.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';
import { registerDatabase, registerDestination } from '../support/usecase-stack.js';

describe('mail about events', () => {
  const stack = useRunStack();
  let sink: EmbeddedMail;
  let running: RunningComponent;
  let store: MailStore;

  beforeAll(async () => {
    sink = defineMailSink(stack.home, new EmbeddedState(stack.home));
    running = await sink.component.start();
    store = new MailStore(join(stack.home, 'mail'));
    await stack.startWorker({
      queues: 'control',
      env: { SMTP_URL: sink.smtpUrl(), TIDEMARK_PUBLIC_URL: 'https://tidemark.example' },
    });
    return () => running.stop();
  });

  async function note() {
    const { context, admin } = stack;
    const { id: destinationId } = await registerDestination(context, admin, uniqueName('store'));
    const policyId = await addPolicyRow(context, admin, { destinationId });
    const event = {
      event: 'policy_paused',
      dedupeKey: `policy_paused/${policyId}`,
      policyId,
      what: 'The policy was paused: naïve Größe.',
      why: 'Three runs in a row have failed.',
      nextStep: 'Correct the cause.',
    } as const;
    await noteEvent(context.catalog, event);
    await noteEvent(context.catalog, event);
    return await context.catalog.prisma.notification.findFirstOrThrow({ where: { policyId } });
  }
  const row = (id: string) => stack.catalog.prisma.notification.findUniqueOrThrow({ where: { id } });
  const mailsOf = async (messageId: string) => {
    const all = (await store.list()).map(({ id }) => ({ id, raw: store.raw(id)?.toString() ?? '' }));
    return all.filter(({ raw }) => raw.includes(messageId));
  };

  it('arrives once, with the Message-ID of its row, what happened, why, and what to do next', async () => {
    const noted = await note();
    await reconcileOnce(stack.context);
    await until(async () => (await row(noted.id)).status === 'sent', 'the mail to be sent');
    expect(await row(noted.id)).toMatchObject({ attempts: 1, lastError: null });
    const mails = await mailsOf(noted.messageId);
    expect(mails).toHaveLength(1);
    const mail = await store.read(mails[0]?.id ?? '');
    expect(mail).toMatchObject({ to: [noted.recipient], subject: `[Tidemark] ${noted.subject}` });
    for (const part of ['naïve Größe', 'Three runs in a row', 'Correct the cause.']) expect(mail?.text).toContain(part);
    expect(mail?.text).toContain(`https://tidemark.example/v1/policies/${noted.policyId}`);
    // Asked again, a row that is sent is left alone.
    await reconcileOnce(stack.context);
    expect(await mailsOf(noted.messageId)).toHaveLength(1);
  });

  it('waits while the mail server is down, says so on its row, and arrives when it is back', async () => {
    await running.stop();
    const noted = await note();
    await reconcileOnce(stack.context);
    const waiting = await until(async () => {
      const now = await row(noted.id);
      return now.lastError === null ? null : now;
    }, 'the first try to fail');
    expect(waiting).toMatchObject({ status: 'pending', lastError: { code: 'mail_failed' } });
    running = await sink.component.start();
    await until(async () => (await row(noted.id)).status === 'sent', 'the mail to be sent', 60_000);
    expect((await row(noted.id)).attempts).toBeGreaterThan(1);
    expect(await mailsOf(noted.messageId)).toHaveLength(1);
  });
});

describe('a mail server', () => {
  const mail = { to: 'gone@example.com', subject: 's', text: 't', messageId: '<ntf_1@inst_1>', event: 'pitr_gap' };
  const listen = async (server: SMTPServer) => {
    server.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.server.once('listening', resolve));
    const address = server.server.address();
    return typeof address === 'object' ? (address?.port ?? 0) : 0;
  };
  const smtp = (onRcptTo: SMTPServer['onRcptTo']) =>
    new SMTPServer({
      authOptional: true,
      disabledCommands: ['STARTTLS'],
      logger: false,
      allowInsecureAuth: true,
      onAuth: (auth, _session, done) => done(new Error(`no user ${auth.username} with ${auth.password}`)),
      onRcptTo,
    });
  const errorOf = async (url: string) =>
    await sendMail({ url, from: 'tidemark@localhost' }, mail).then(
      () => null,
      (error: unknown) => error,
    );

  it('that refuses the recipient ends the matter, with what it said', async () => {
    const server = smtp((_address, _session, done) =>
      done(Object.assign(new Error('No such user'), { responseCode: 550 })),
    );
    const port = await listen(server);
    try {
      expect(await errorOf(`smtp://127.0.0.1:${port}`)).toMatchObject({
        code: 'mail_refused',
        message: expect.stringContaining('No such user'),
      });
    } finally {
      server.close();
    }
  });

  it('that is busy is asked again, as is one that refuses the sign-in, whose password nobody reads', async () => {
    const server = smtp((_address, _session, done) => done(Object.assign(new Error('Later'), { responseCode: 451 })));
    const port = await listen(server);
    try {
      expect(await errorOf(`smtp://127.0.0.1:${port}`)).toMatchObject({ code: 'mail_failed' });
      const refused = await errorOf(`smtp://user:planted%2Fsecret@127.0.0.1:${port}`);
      expect(refused).toMatchObject({ code: 'mail_failed', message: expect.stringContaining('sign-in') });
      expect(String(refused)).not.toMatch(/planted/);
    } finally {
      server.close();
    }
  });

  it('that accepts and says nothing does not hold the sender', { timeout: 30_000 }, async () => {
    const silent = createServer();
    silent.listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const address = silent.address();
    try {
      const port = typeof address === 'object' ? address?.port : 0;
      expect(await errorOf(`smtp://127.0.0.1:${port}`)).toMatchObject({ code: 'mail_failed' });
    } finally {
      silent.close();
    }
  });

  it('that is not configured is asked for', async () => {
    await expect(sendMail({ url: undefined, from: 'x@y' }, mail)).rejects.toMatchObject({
      code: 'mail_failed',
      message: expect.stringContaining('SMTP_URL'),
    });
  });
});

describe('a clean-up of a source', () => {
  const stack = useRunStack();
  const server = useEngine('pg17');
  const other = useEngine('pg18');

  async function addCleanup(slot: string, password: string) {
    const { context, admin } = stack;
    const { id: destinationId } = await registerDestination(context, admin, uniqueName('store'));
    const policyId = await addPolicyRow(context, admin, { destinationId });
    const [id, secretId] = [newId('cleanup'), newId('secret')];
    const sealed = await sealText(context.masterKey, JSON.stringify({ password }), secretContext(secretId));
    await context.catalog.prisma.secret.create({ data: { id: secretId, purpose: 'cleanup', sealed } });
    await context.catalog.prisma.sourceCleanup.create({
      data: {
        ...{ id, secretId, policyId, name: slot },
        engine: server.engine,
        host: server.host,
        port: server.port,
        username: server.adminUser,
        database: 'postgres',
        kind: 'replication_slot',
        attempts: 1,
      },
    });
    return { id, secretId, policyId };
  }
  const tryOnce = (cleanupId: string) =>
    new MockActivityEnvironment().run(cleanUpSource(activityDeps(stack)), { cleanupId });
  const slots = async (name: string) =>
    await server.query(`select 1 from pg_replication_slots where slot_name = '${name}'`);

  it('removes the slot, then its copy of the credentials', async () => {
    const slot = uniqueName('tidemark');
    await server.query(`select pg_create_physical_replication_slot('${slot}')`);
    const { id, secretId } = await addCleanup(slot, server.adminPassword);
    expect(await tryOnce(id)).toEqual({ done: true });
    expect(await slots(slot)).toEqual([]);
    expect(await stack.catalog.prisma.secret.findUnique({ where: { id: secretId } })).toBeNull();
    const done = await stack.catalog.prisma.sourceCleanup.findUniqueOrThrow({ where: { id } });
    expect(done.doneAt).not.toBeNull();
    expect(await tryOnce(id)).toEqual({ done: true });
  });

  it('leaves alone a slot that is in use again because the database was attached anew', async () => {
    const slot = uniqueName('tidemark');
    await server.query(`select pg_create_physical_replication_slot('${slot}')`);
    const { prisma } = stack.catalog;
    const { id, policyId } = await addCleanup(slot, server.adminPassword);
    const { host, port } = server;
    const database = await registerDatabase(stack.context, stack.admin);
    await prisma.database.update({ where: { id: database.id }, data: { host, port } });
    const serverId = newId('server');
    await prisma.server.create({
      data: { id: serverId, engine: server.engine, identity: serverId, version: '17', major: '17' },
    });
    const chainId = newId('chain');
    await prisma.chain.create({ data: { id: chainId, policyId, serverId, slotName: slot, archiveWanted: true } });
    const attachment = { id: newId('attachment'), policyId, databaseId: database.id, chainId };
    await prisma.attachment.create({ data: { ...attachment, activeKey: database.id } });
    expect(await tryOnce(id)).toEqual({ done: true });
    expect(await slots(slot)).toHaveLength(1);
    await prisma.attachment.update({ where: { id: attachment.id }, data: { activeKey: null } });
    const again = await addCleanup(slot, server.adminPassword);
    expect(await tryOnce(again.id)).toEqual({ done: true });
    expect(await slots(slot)).toEqual([]);
  });

  it('takes over a replica that is forgotten while an archive holds its log, credentials and all', async () => {
    const { context, admin } = stack;
    const { prisma } = stack.catalog;
    const slot = uniqueName('tidemark');
    const { id: destinationId } = await registerDestination(context, admin, uniqueName('store'));
    const policyId = await addPolicyRow(context, admin, { destinationId });
    const primary = await registerDatabase(context, admin);
    const replica = await createDatabase(context, admin, {
      name: 'replica',
      engine: 'postgresql',
      ...{ host: server.host, port: server.port, username: server.adminUser, password: server.adminPassword },
      database: 'postgres',
      primaryId: primary.id,
    });
    const serverId = newId('server');
    await prisma.server.create({
      data: { id: serverId, engine: server.engine, identity: serverId, version: '17', major: '17' },
    });
    const chainId = newId('chain');
    const wanted = { archiveWanted: true, sourceDatabaseId: replica.id };
    await prisma.chain.create({ data: { id: chainId, policyId, serverId, slotName: slot, ...wanted } });
    const attachment = { id: newId('attachment'), policyId, databaseId: primary.id, chainId };
    await prisma.attachment.create({ data: { ...attachment, activeKey: primary.id } });
    await server.query(`select pg_create_physical_replication_slot('${slot}')`);

    // It was promoted, and the log is archived from it.
    await expect(deleteDatabase(context, admin, { databaseId: replica.id })).rejects.toMatchObject({
      code: 'still_referenced',
      details: { references: [chainId] },
    });
    await prisma.chain.update({ where: { id: chainId }, data: { sourceDatabaseId: primary.id } });
    await deleteDatabase(context, admin, { databaseId: replica.id });
    const cleanup = await prisma.sourceCleanup.findFirstOrThrow({ where: { databaseId: replica.id } });
    expect(await tryOnce(cleanup.id)).toEqual({ done: true });
    expect(await slots(slot)).toEqual([]);
    expect(await prisma.secret.findUnique({ where: { id: cleanup.secretId } })).toBeNull();
  });

  it('follows a database that is looked for at another address: there it releases a former server, and not the same one', async () => {
    const { context, admin } = stack;
    const { prisma } = stack.catalog;
    const slot = uniqueName('tidemark');
    const { id: destinationId } = await registerDestination(context, admin, uniqueName('store'));
    const policyId = await addPolicyRow(context, admin, { destinationId });
    const login = ({ host, port, adminUser, adminPassword }: typeof server) => ({
      ...{ host, port, username: adminUser, password: adminPassword },
    });
    const about = { name: 'moved', engine: 'postgresql', database: 'postgres' } as const;
    const database = await createDatabase(context, admin, { ...about, ...login(server) });
    const { chainId } = await addChainRow(context, { policyId, destinationId, databaseIds: [database.id] });
    const wanted = { slotName: slot, archiveWanted: true, sourceDatabaseId: database.id };
    await prisma.chain.update({ where: { id: chainId }, data: wanted });
    await server.query(`select pg_create_physical_replication_slot('${slot}')`);
    const openCleanup = () =>
      prisma.sourceCleanup.findFirstOrThrow({ where: { databaseId: database.id, doneAt: null } });
    const move = (changes: Parameters<typeof updateDatabase>[2]['changes']) =>
      updateDatabase(context, admin, { databaseId: database.id, changes });

    await move({ ...login(server), host: 'localhost' });
    expect(await tryOnce((await openCleanup()).id)).toEqual({ done: true });
    expect(await slots(slot)).toHaveLength(1);

    // Nobody answers at the new address yet: which server that will be is not known.
    await move({ ...login(server), port: 1 });
    const { id } = await openCleanup();
    expect(await tryOnce(id)).toEqual({ done: false });
    expect(await slots(slot)).toHaveLength(1);

    await prisma.database.update({ where: { id: database.id }, data: { host: other.host, port: other.port } });
    const secretId = (await prisma.database.findUniqueOrThrow({ where: { id: database.id } })).secretId;
    const sealed = await sealText(
      context.masterKey,
      JSON.stringify({ password: other.adminPassword }),
      secretContext(secretId),
    );
    await prisma.secret.update({ where: { id: secretId }, data: { sealed } });
    await prisma.database.update({ where: { id: database.id }, data: { username: other.adminUser } });
    expect(await tryOnce(id)).toEqual({ done: true });
    expect(await slots(slot)).toEqual([]);
  });

  it('that does not come about stays, with its reason, and is told once however often it is tried', async () => {
    const slot = uniqueName('tidemark');
    await server.query(`select pg_create_physical_replication_slot('${slot}')`);
    try {
      const { id, policyId } = await addCleanup(slot, 'planted-wrong-password');
      expect(await tryOnce(id)).toEqual({ done: false });
      expect(await tryOnce(id)).toEqual({ done: false });
      expect(await slots(slot)).toHaveLength(1);
      const waiting = await stack.catalog.prisma.sourceCleanup.findUniqueOrThrow({ where: { id } });
      expect(waiting).toMatchObject({ attempts: 3, doneAt: null, lastError: { code: 'authentication_failed' } });
      const told = await stack.catalog.prisma.notification.findMany({ where: { policyId } });
      expect(told).toHaveLength(1);
      expect(JSON.stringify(told[0]?.body)).toContain(`pg_drop_replication_slot('${slot}')`);
      expect(JSON.stringify(told)).not.toContain('planted-wrong');
    } finally {
      await server.query(`select pg_drop_replication_slot('${slot}')`);
    }
  });
});
