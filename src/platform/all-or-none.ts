/** Does all at once. The first failure ends the others by their signal; they are awaited before it is thrown. */
export async function allOrNone<T>(
  signal: AbortSignal,
  tasks: readonly ((signal: AbortSignal) => Promise<T>)[],
): Promise<T[]> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const results = await Promise.allSettled(
    tasks.map(async (task) => {
      try {
        return await task(either);
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    }),
  );
  return results.map((result) => {
    // The first failure is the cause; the others only heard of it.
    if (result.status === 'rejected') throw failed.signal.reason;
    return result.value;
  });
}
