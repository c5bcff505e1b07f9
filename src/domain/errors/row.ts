/** One line of the error table: see `errors.ts`. */
export type ErrorRow = {
  readonly status: number;
  readonly retryable: boolean;
  readonly tell: 'caller' | 'owner' | 'operator';
  readonly title: string;
  readonly remedy: string;
};

/** In the order in which a line is read: HTTP status, retryable, who is told, title, remedy. */
export const row = (
  status: number,
  retryable: boolean,
  tell: ErrorRow['tell'],
  title: string,
  remedy: string,
): ErrorRow => ({
  status,
  retryable,
  tell,
  title,
  remedy,
});
