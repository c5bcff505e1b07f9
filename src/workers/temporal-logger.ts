import type { Logger as TemporalLogger } from '@temporalio/worker';
import { DefaultLogger } from '@temporalio/worker';
import type { Logger } from '../platform/logger.js';

/** Temporal's own lines and those of workflows, as JSON beside ours. */
export function toTemporalLogger(logger: Logger): TemporalLogger {
  const child = logger.child({ part: 'temporal' });
  return new DefaultLogger('INFO', ({ level, message, meta }) => {
    const fields = { ...meta };
    if (level === 'ERROR') child.error(fields, message);
    else if (level === 'WARN') child.warn(fields, message);
    else if (level === 'INFO') child.info(fields, message);
    else child.debug(fields, message);
  });
}
