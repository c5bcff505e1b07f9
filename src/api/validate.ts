import type { z } from 'zod';
import type { FieldError } from '../domain/errors.js';
import { invalidRequest } from './problems.js';

type Issue = z.core.$ZodIssue;

/** JSON pointer of a body field (`/schedule/everySeconds`), plain name of a query field. */
function fieldName(part: 'body' | 'query', path: readonly PropertyKey[]): string {
  if (part === 'query') return path.map(String).join('.') || 'query';
  return `/${path.map((step) => String(step).replaceAll('~', '~0').replaceAll('/', '~1')).join('/')}`;
}

function describeIssue(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is required' : `must be ${article(issue.expected)}`;
    case 'invalid_value':
      return `must be one of ${issue.values.map((value) => JSON.stringify(value)).join(', ')}`;
    case 'too_small':
      return issue.origin === 'string' || issue.origin === 'array'
        ? `must have at least ${issue.minimum} ${issue.origin === 'string' ? 'characters' : 'items'}`
        : `must be at least ${issue.minimum}`;
    case 'too_big':
      return issue.origin === 'string' || issue.origin === 'array'
        ? `must have at most ${issue.maximum} ${issue.origin === 'string' ? 'characters' : 'items'}`
        : `must be at most ${issue.maximum}`;
    default:
      return issue.message.replace(/^Invalid input: /, '');
  }
}

function article(expected: string): string {
  const word = expected === 'int' ? 'integer' : expected === 'array' ? 'list' : expected;
  return `${/^[aeiou]/.test(word) ? 'an' : 'a'} ${word}`;
}

// What a person has to read stays readable, whatever was sent.
const shortened = (key: string) => (key.length > 64 ? `${key.slice(0, 64)}…` : key);

function flatten(part: 'body' | 'query', issues: readonly Issue[], base: readonly PropertyKey[]): FieldError[] {
  return issues.flatMap((issue): FieldError[] => {
    const path = [...base, ...issue.path];
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        field: fieldName(part, [...path, shortened(key)]),
        message: 'is not a known field',
      }));
    }
    if (issue.code === 'invalid_union' && issue.errors.length > 0) {
      // The variant with the fewest faults is the one that was meant.
      const nearest = [...issue.errors].sort((a, b) => a.length - b.length)[0] ?? [];
      return flatten(part, nearest, path);
    }
    return [{ field: fieldName(part, path), message: describeIssue(issue) }];
  });
}

/** Parses one part of a request by its schema; throws `invalid_request` naming every wrong field. */
export function validatePart<Schema extends z.ZodType>(
  part: 'body' | 'query',
  schema: Schema,
  value: unknown,
): z.output<Schema> {
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) return parsed.data;
  throw invalidRequest(flatten(part, parsed.error.issues, []));
}
