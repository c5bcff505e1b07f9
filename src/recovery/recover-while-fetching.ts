import { TidemarkError } from '../domain/errors.js';
import type { ChainEngine, LogFile, RecoverOptions, Sandbox } from '../engines/chain-engine.js';
import type { EngineContext } from '../engines/engine.js';

/**
 * Recovers in a sandbox while the log is still being fetched: unpacking a backup leaves a core and the connection to the store half idle.
 * Whichever fails ends the other one, which is awaited, so that nothing writes into a folder that is removed. The first failure is told.
 */
export async function recoverWhileFetching(
  engine: ChainEngine,
  context: EngineContext,
  options: Omit<RecoverOptions, 'logFiles'>,
  fetchLog: (signal: AbortSignal) => Promise<readonly LogFile[]>,
): Promise<Sandbox> {
  const failed = new AbortController();
  const signal = AbortSignal.any([context.signal, failed.signal]);
  const logFiles = fetchLog(signal);
  logFiles.catch((error: unknown) => failed.abort(error));
  try {
    return await engine.recover({ ...context, signal }, { ...options, logFiles });
  } catch (error) {
    failed.abort(error);
    await logFiles.catch(() => {});
    if (context.signal.aborted) throw new TidemarkError('cancelled', 'The run was cancelled.');
    throw failed.signal.reason;
  }
}
