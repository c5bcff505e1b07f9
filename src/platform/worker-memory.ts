/**
 * How a worker process is kept small. Left alone on a large host, Node lets its heap grow before it collects, and glibc keeps an arena of
 * freed memory per thread: 480 MiB were measured for a worker that needs 270.
 */
export const workerNodeFlags: readonly string[] = ['--max-old-space-size=256', '--max-semi-space-size=4'];
export const workerEnvironment: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '2' };
