import type { ErrorCode } from '../../domain/errors.js';
import { errorTable } from '../../domain/errors.js';

const audience = {
  caller: 'the caller of the request',
  owner: 'the owner of the database or destination',
  operator: 'the operator of the installation',
};

/** Every code of the table, in its order. */
export const errorCodes = Object.keys(errorTable) as ErrorCode[];

/** The page about one code, in Markdown; served at `/docs/errors/<code>` and kept in `docs/errors/`. */
export function renderErrorDoc(code: ErrorCode): string {
  const row = errorTable[code];
  return [
    `# ${row.title}`,
    '',
    `| | |`,
    `|---|---|`,
    `| code | \`${code}\` |`,
    `| HTTP status | ${row.status} |`,
    `| retried by itself | ${row.retryable ? 'yes, where it happens inside a run' : 'no'} |`,
    `| who has to know | ${audience[row.tell]} |`,
    '',
    '## What to do',
    '',
    row.remedy,
    '',
    'The `detail` of the problem document says what failed, on which object and why.',
    '',
  ].join('\n');
}

/** The list of all codes, in Markdown. */
export function renderErrorIndex(): string {
  const rows = errorCodes.map((code) => {
    const row = errorTable[code];
    return `| [\`${code}\`](${code}.md) | ${row.status} | ${row.retryable ? 'yes' : 'no'} | ${row.title} |`;
  });
  return [
    '# Errors',
    '',
    'Every error has a stable code. Generated from `src/domain/errors.ts` by `npm run docs:errors`.',
    '',
    '| code | HTTP status | retried | meaning |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
