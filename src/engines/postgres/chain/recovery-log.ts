/** `2026-01-01 12:00:00.1234+00`, whose zeros at the end are left out, as RFC 3339 with six digits. The sandbox writes UTC. */
function toRfc3339(text: string): string {
  const [, day, clock, fraction = ''] = /^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d+))?/.exec(text) ?? [];
  return `${day}T${clock}.${fraction.padEnd(6, '0')}Z`;
}

/** Understands what a recovering server says, line by line, until it takes connections. */
export class RecoveryLog {
  /** Where the last record that was looked at begins: when it stopped before one, that is the refused one. */
  redoDone: string | null = null;
  /** The last commit or abort that was replayed. */
  lastCompletedAt: string | null = null;
  /** Commit or abort before which it stopped. */
  refusedAt: string | null = null;
  /** On which side of a record it stopped at the target; null when it took all. */
  stopped: 'before' | 'after' | null = null;
  ready = false;
  newTimeline: number | null = null;
  private readonly onReady: () => void;
  private readonly onProgress: (lsn: string) => void;

  constructor(onReady: () => void, onProgress: (lsn: string) => void) {
    this.onReady = onReady;
    this.onProgress = onProgress;
  }

  add(line: string): void {
    // Whatever content says later, in warnings of its own, is no news about recovery.
    if (this.ready) return;
    let match = /^LOG: {2}recovery stopping (before|after) (.*)$/.exec(line);
    if (match) {
      this.stopped = match[1] === 'before' ? 'before' : 'after';
      const time = /^(?:commit|abort) of transaction \d+, time (.+)$/.exec(match[2] ?? '')?.[1];
      if (match[1] === 'before' && time !== undefined) this.refusedAt = toRfc3339(time);
      return;
    }
    match = /^LOG: {2}redo done at ([0-9A-F]+\/[0-9A-F]+)/.exec(line);
    if (match) this.redoDone = match[1] ?? null;
    match = /^LOG: {2}last completed transaction was at log time (.+)$/.exec(line);
    if (match) this.lastCompletedAt = toRfc3339(match[1] ?? '');
    match = /^LOG: {2}selected new timeline ID: (\d+)/.exec(line);
    if (match) this.newTimeline = Number(match[1]);
    match = /^LOG: {2}redo in progress.*current LSN: ([0-9A-F]+\/[0-9A-F]+)/.exec(line);
    if (match?.[1]) this.onProgress(match[1]);
    if (/^LOG: {2}database system is ready to accept connections/.test(line)) {
      this.ready = true;
      this.onReady();
    }
  }
}
