/**
 * How a worker process is kept small. Left alone on a large host, Node lets its heap grow before it collects, and glibc keeps an arena of
 * freed memory per thread: 480 MiB were measured for a worker that needs 270.
 */
export const workerNodeFlags: readonly string[] = [
  '--max-old-space-size=256',
  '--max-semi-space-size=4',
  // Buffers that stream by make V8 mark the heap every few MiB: in one go it takes less than half the processor time, and tens of milliseconds.
  '--no-incremental-marking',
];
export const workerEnvironment: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '2' };
