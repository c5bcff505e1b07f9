import { randomBytes } from 'node:crypto';
import { TidemarkError, toRecordedError } from '../domain/errors.js';
import type { Destination, DestinationCheck } from './destination.js';
import { probePrefix } from './layout.js';
import { readSmallObject } from './read-small-object.js';

/** All steps together; an answer within 30 s is promised (design section 7). */
const LIMIT_MS = 20_000;

type Step = DestinationCheck['steps'][number];

/**
 * Puts, gets, lists and deletes a small probe object, as a backup will. Never throws for what is wrong with the destination: the steps say
 * it, those after a failed put are not tried. `error` of the first failed step is given for the row.
 */
export async function checkDestination(options: {
  readonly destination: Destination;
  readonly signal: AbortSignal;
}): Promise<DestinationCheck & { readonly error: ReturnType<typeof toRecordedError> | null }> {
  const { destination } = options;
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(LIMIT_MS)]);
  const key = `${probePrefix}/${randomBytes(8).toString('hex')}`;
  const content = randomBytes(64);
  const steps: Step[] = [];
  let first: ReturnType<typeof toRecordedError> | null = null;

  const run = async (step: Step['step'], work: () => Promise<void>): Promise<boolean> => {
    try {
      await work();
      steps.push({ step, ok: true, message: null });
      return true;
    } catch (error) {
      options.signal.throwIfAborted();
      const recorded = toRecordedError(signal.aborted ? tooSlow(destination) : error);
      first ??= recorded;
      steps.push({ step, ok: false, message: recorded.message });
      return false;
    }
  };

  if (await run('put', () => destination.put(key, content, { signal }))) {
    await run('get', () => getProbe(destination, key, content, signal));
    await run('list', () => listProbe(destination, key, signal));
    await run('delete', () => deleteProbe(destination, key, signal));
  }
  return { steps, ok: first === null, error: first };
}

async function getProbe(destination: Destination, key: string, content: Buffer, signal: AbortSignal): Promise<void> {
  const found = await readSmallObject(destination, key, signal);
  if (found.equals(content)) return;
  throw new TidemarkError('object_corrupt', `${destination.location} gave back other bytes than were put there.`, {
    object: key,
  });
}

async function listProbe(destination: Destination, key: string, signal: AbortSignal): Promise<void> {
  for await (const object of destination.list(`${probePrefix}/`, { signal })) if (object.key === key) return;
  throw new TidemarkError(
    'object_missing',
    `${destination.location} does not list an object that was just put there.`,
    {
      object: key,
    },
  );
}

async function deleteProbe(destination: Destination, key: string, signal: AbortSignal): Promise<void> {
  await destination.remove([key], { signal });
  if ((await destination.stat(key, { signal })) === null) return;
  throw new TidemarkError('destination_denied', `${destination.location} still has an object that was deleted.`, {
    object: key,
  });
}

function tooSlow(destination: Destination): TidemarkError {
  return new TidemarkError(
    'destination_unreachable',
    `${destination.location} did not answer within ${LIMIT_MS / 1000} s.`,
    { object: destination.location },
  );
}
