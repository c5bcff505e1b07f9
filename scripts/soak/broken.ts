/** An invariant does not hold: the soak ends. */
export class Broken extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'Broken';
  }
}

export function hold(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Broken(otherwise);
}

/** `check` must come to hold within the time; what it last complained about is the reason otherwise. */
export async function comesToHold(withinMs: number, check: () => Promise<string | null>): Promise<void> {
  const giveUpAt = Date.now() + withinMs;
  for (;;) {
    let complaint: string | null;
    try {
      complaint = await check();
    } catch (error) {
      complaint = error instanceof Error ? error.message : String(error);
    }
    if (complaint === null) return;
    if (Date.now() > giveUpAt) throw new Broken(`${complaint} (still after ${withinMs / 1000} s)`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
