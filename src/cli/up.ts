import type { Command } from 'commander';
import { loadConfig } from '../config.js';
import { startService } from './serve.js';
import type { Everything } from './start-all.js';
import { startAll } from './start-all.js';

/** `tidemark up`: components, API and worker on this machine, until it is told to stop. */
export function registerUp(program: Command): void {
  program
    .command('up')
    .description('Start everything on this machine: embedded components, API and worker; Ctrl-C stops it')
    .action(async () => {
      const config = loadConfig();
      const signals = waitForSignals();
      let everything: Everything;
      try {
        everything = await startAll({
          config,
          startService,
          say: (line) => console.log(line),
          signal: signals.asked,
        });
      } catch (error) {
        if (error !== stoppedByPerson) throw error;
        console.log('Stopped.');
        process.exit(0);
      }
      for (const line of summarize(everything)) console.log(line);
      await new Promise((resolve) => {
        if (signals.asked.aborted) resolve(null);
        else signals.asked.addEventListener('abort', resolve);
      });
      console.log('Stopping; once more to stop at once ...');
      await everything.stop();
      console.log('Stopped.');
      // Nothing is left to do; a connection that some library keeps open must not keep the process.
      process.exit(0);
    });
}

const stoppedByPerson = new Error('stopped by a signal');

/** Ctrl-C below `npm run` comes twice: from the terminal and, forwarded, from npm. Within this time it is the same one, in ms. */
const FORWARDED_MS = 1_000;

/** The first signal asks, the second insists. Listening from the beginning: a start that is interrupted is undone, not torn. */
function waitForSignals(): { asked: AbortSignal } {
  const controller = new AbortController();
  let askedAt = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!controller.signal.aborted) {
        askedAt = Date.now();
        controller.abort(stoppedByPerson);
        return;
      }
      // Every process we started dies with us, and the next start copes with what a crash leaves.
      if (Date.now() - askedAt > FORWARDED_MS) process.exit(130);
    });
  }
  // A reader of our output that goes away (`| head`) must not take the service with it.
  process.stdout.on('error', () => {});
  return { asked: controller.signal };
}

function summarize({ run, notices, config }: Everything): string[] {
  return [
    '',
    'Tidemark is running.',
    `  API           ${run.api}`,
    `  API docs      ${run.docs}`,
    ...(run.temporalUi ? [`  Temporal UI   ${run.temporalUi}`] : []),
    `  S3 store      ${run.s3.endpoint}  (bucket ${run.s3.bucket}; keys in run.json)`,
    ...(run.mail ? [`  Mail          ${run.mail.view}`] : []),
    `  State         ${config.home}`,
    ...notices.map((notice) => `  ! ${notice}`),
    '',
    'Ctrl-C stops it.',
  ];
}
