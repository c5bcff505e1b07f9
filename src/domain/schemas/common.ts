import { z } from 'zod';
import type { IdKind } from '../ids.js';
import { idPattern, idPrefixes } from '../ids.js';

/** Building blocks of every request and response schema. Requests are strict objects: an unknown field is a 400 (design section 7). */

// C0, DEL, C1, line and paragraph separators, bidirectional overrides: none may hide in a name that people and shells read.
const unsafe = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

/** True for text that PostgreSQL can store and a person can read: no control characters, no lone surrogates. */
export function isPlainText(value: string): boolean {
  return !unsafe.test(value) && value.isWellFormed();
}

const notPlain = 'must not contain control characters or broken Unicode';

/** One line of free text, trimmed. */
export const plainText = (max: number, description: string) =>
  z.string().trim().min(1).max(max).refine(isPlainText, notPlain).meta({ description });

/** A name given by a user: one line, no path separators, not a dot name, so that it can stand in a file name or a message. */
export const nameSchema = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .refine(isPlainText, notPlain)
  .refine((value) => !/[/\\]/.test(value) && !/^\.+$/.test(value), 'must not contain / or \\ and must not be . or ..')
  .meta({ description: 'Name shown to people; 1 to 100 characters on one line, without / and \\.', example: 'Shop' });

/** An id of one kind; anything else never reaches a query. */
export const idSchema = (kind: IdKind) =>
  z
    .string()
    .regex(idPattern(kind), `must be an id such as ${idPrefixes[kind]}_0123456789abcdef`)
    .meta({ description: `Id of a ${kind}.`, example: `${idPrefixes[kind]}_0123456789abcdef` });

/** A password or key: any printable text; control characters are refused because the engines' password files are lines. */
export const secretText = (max: number, description: string) =>
  z.string().max(max).refine(isPlainText, notPlain).meta({ description, format: 'password', writeOnly: true });

/** RFC 3339 with an offset, between 1970 and 9999 (PostgreSQL and JavaScript disagree outside). */
export const requestTime = z.iso
  .datetime({ offset: true })
  .refine((value) => {
    const year = new Date(value).getUTCFullYear();
    return year >= 1970 && year <= 9999;
  }, 'must lie between the years 1970 and 9999')
  .meta({ description: 'RFC 3339 time with offset.', example: '2026-11-21T06:00:00Z' });

/** RFC 3339 UTC time in an answer. */
export const timestamp = z.iso
  .datetime()
  .meta({ description: 'RFC 3339 UTC time.', example: '2026-11-21T06:00:00.000Z' });

/** A host name or address; never a path (libpq would take one for a socket folder) and never an option. */
export const hostSchema = z
  .string()
  .trim()
  .min(1)
  .max(253)
  .refine(
    (value) =>
      /^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?$/.test(value) || /^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$/.test(value),
    'must be a host name, an IPv4 address or an IPv6 address without brackets',
  )
  .meta({ description: 'Host name or address.', example: 'db.example.org' });

export const portSchema = z.int().min(1).max(65535).meta({ description: 'TCP port.', example: 5432 });

export const tlsSchema = z
  .strictObject({
    mode: z.enum(['require', 'verify']).meta({
      description: '`require` encrypts without checking the certificate; `verify` checks chain and host name.',
    }),
    ca: z
      .string()
      .max(65536)
      .refine((value) => /^[\t\n\r\x20-\x7e]*-----BEGIN CERTIFICATE-----[\t\n\r\x20-\x7e]*$/.test(value), 'must be PEM')
      .optional()
      .meta({ description: 'Certificate authority in PEM, for `verify`.' }),
  })
  .meta({ id: 'Tls', description: 'How the connection is encrypted.' });

/** Name of a database on a server: anything the engines allow except control characters. */
export const databaseNameSchema = z
  .string()
  .min(1)
  .max(64)
  .refine(isPlainText, notPlain)
  .refine((value) => Buffer.byteLength(value) <= 255, 'is too long')
  .meta({ description: 'Name of the database on the server.', example: 'shop' });

export const usernameSchema = z
  .string()
  .min(1)
  .max(128)
  .refine(isPlainText, notPlain)
  .meta({ description: 'User name on the database server.', example: 'backup' });

/** `{code, message}` as recorded on a row. */
export const recordedErrorSchema = z
  .object({
    code: z.string().meta({ description: 'Stable code of the error table.', example: 'authentication_failed' }),
    message: z.string(),
  })
  .meta({ id: 'RecordedError', description: 'Why something failed: a stable code and a sentence.' });

export const progressSchema = z
  .object({
    phase: z.string().meta({ example: 'dump' }),
    bytes: z.number(),
    percent: z.number().nullable().meta({ description: 'Null when no honest denominator exists; never falls.' }),
  })
  .meta({ id: 'Progress', description: 'Where a run is.' });

const limitSchema = z.coerce
  .number()
  .int()
  .min(1)
  .max(200)
  .default(50)
  .meta({ description: 'Items per page, 1 to 200.', example: 50 });

const cursorSchema = z
  .string()
  .min(1)
  .max(1024)
  .regex(/^[A-Za-z0-9_-]+$/, 'must be a cursor from an earlier answer')
  .optional()
  .meta({ description: '`nextCursor` of the answer before; bound to the filters it was made with.' });

/** Query fields that every list takes. */
export const pageFields = { limit: limitSchema, cursor: cursorSchema };

/** A list query without further filters. */
export const pageQuery = z.strictObject(pageFields);
export type PageQuery = z.infer<typeof pageQuery>;

/** The answer of a list. */
export const listOf = <Item extends z.ZodType>(item: Item, id: string) =>
  z
    .object({
      items: z.array(item),
      nextCursor: z.string().nullable().meta({ description: 'Cursor of the next page, or null at the end.' }),
    })
    .meta({ id, description: 'One page, newest first.' });

export type Page<Item> = { items: Item[]; nextCursor: string | null };

/** RFC 9457 problem document. */
export const problemSchema = z
  .object({
    type: z.string().meta({ description: 'Address of the page about this code.' }),
    title: z.string(),
    status: z.int(),
    code: z.string().meta({ description: 'Stable code of the error table.', example: 'not_found' }),
    detail: z.string().meta({ description: 'What failed, on which object, why.' }),
    remedy: z.string().meta({ description: 'What the caller can do next.' }),
    instance: z.string().optional(),
    requestId: z.string().optional(),
    object: z.string().optional().meta({ description: 'Id or name of the object the problem is about.' }),
    errors: z
      .array(z.object({ field: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'Wrong fields and what they take.' }),
    statement: z.string().optional().meta({ description: 'Statement that grants what is missing.' }),
    references: z.array(z.string()).optional().meta({ description: 'Ids of the rows in the way.' }),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem document.' });
