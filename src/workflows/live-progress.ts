import { CancellationScope, patched, proxyLocalActivities, sleep } from '@temporalio/workflow';
import type { Activities } from './activity-types.js';
import type { RunProgress } from './messages.js';
import type { Story } from './story.js';
import { sizeText } from './story.js';

// One row of the catalog, read in the process that runs the workflow: three events of history each time and no task queue.
const { readProgress } = proxyLocalActivities<Activities>({
  scheduleToCloseTimeout: '5s',
  retry: { maximumAttempts: 1 },
});

export type Subject = Parameters<Activities['readProgress']>[0];

/** How long to wait before the next look, by how many there were in this run; null when the run has had its share of history. */
export function waitBeforeLook(looks: number): string | null {
  if (looks < 30) return looks === 0 ? '3s' : '10s';
  if (looks < 90) return '1 minute';
  // Beyond some 30 hours the Web UI keeps what it showed last, and the API goes on telling: a run of days must stay one history.
  return looks < 300 ? '10 minutes' : null;
}

/** Shows in the Web UI how far a long step has come, from the row that the step writes. */
export class LiveProgress {
  // Asked once: a run that began under older code never looks.
  private readonly wanted = patched('live-progress');
  private looks = 0;
  private readonly story: Story;
  private readonly subject: Subject;

  constructor(story: Story, subject: Subject) {
    this.story = story;
    this.subject = subject;
  }

  /** Runs `step` and looks until it has ended. Nothing that befalls the looking befalls the step. */
  async during<T>(step: () => Promise<T>): Promise<T> {
    if (!this.wanted) return await step();
    const looking = new CancellationScope({ cancellable: true });
    let ended = false;
    looking
      .run(async () => {
        for (;;) {
          const wait = waitBeforeLook(this.looks);
          if (wait === null) return;
          await sleep(wait);
          this.looks += 1;
          const progress = await readProgress(this.subject).catch(() => null);
          if (ended) return;
          if (progress !== null) this.story.now(progressText(progress));
        }
      })
      .catch(() => undefined);
    try {
      return await step();
    } finally {
      ended = true;
      looking.cancel();
      this.story.now(null);
    }
  }
}

/** `dumping, 1.5 GiB, 41 %`. */
export function progressText({ phase, bytes, percent }: RunProgress): string {
  const parts = [phase];
  if (bytes > 0) parts.push(sizeText(bytes));
  if (percent !== null) parts.push(`${percent} %`);
  return parts.join(', ');
}
