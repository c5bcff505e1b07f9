import type { Catalog } from '../client.js';
import { noJson, toJson } from './run-json.js';

type Failure = { readonly code: string; readonly message: string };

/** Counts a try. Null when there is nothing to send: it is sent, given up, or gone. */
export async function beginSending(catalog: Catalog, id: string) {
  const { count } = await catalog.prisma.notification.updateMany({
    where: { id, status: 'pending' },
    data: { attempts: { increment: 1 } },
  });
  return count === 0 ? null : await catalog.prisma.notification.findUnique({ where: { id } });
}

export async function noteSent(catalog: Catalog, id: string): Promise<void> {
  await catalog.prisma.notification.updateMany({
    where: { id },
    data: { status: 'sent', sentAt: new Date(), lastError: noJson },
  });
}

/** Why it has not left yet; it is tried again. */
export async function noteSendError(catalog: Catalog, id: string, error: Failure): Promise<void> {
  await catalog.prisma.notification.updateMany({
    where: { id, status: 'pending' },
    data: { lastError: toJson(error) },
  });
}

/** No further try. The reason of the last try says more than that the time was over. */
export async function noteGivenUp(catalog: Catalog, id: string, error: Failure): Promise<void> {
  await catalog.prisma.$transaction(async (tx) => {
    const row = await tx.notification.findUnique({ where: { id } });
    if (row?.status !== 'pending') return;
    const isKnown = row.lastError !== null && error.code === 'worker_lost';
    await tx.notification.update({
      where: { id },
      data: { status: 'failed', ...(isKnown ? {} : { lastError: toJson(error) }) },
    });
  });
}
