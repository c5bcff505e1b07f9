import { z } from 'zod';
import { tokenScopes, userRoles } from '../statuses.js';
import {
  idSchema,
  isPlainText,
  listOf,
  nameSchema,
  pageFields,
  plainText,
  requestTime,
  secretText,
  timestamp,
} from './common.js';

// Looser than z.email(): the first admin is admin@localhost, and a mail server decides what an address is.
export const emailSchema = z
  .string()
  .max(254)
  .regex(/^[^\s@]+@[^\s@]+$/, 'must be an e-mail address')
  .refine(isPlainText, 'must be an e-mail address')
  .overwrite((value) => value.toLowerCase())
  .meta({ example: 'admin@example.org' });

const newPasswordSchema = secretText(256, 'At least 12 characters.').min(12);

export const userSchema = z
  .object({ id: idSchema('user'), email: z.string(), role: z.enum(userRoles), createdAt: timestamp })
  .meta({ id: 'User', description: 'A person or a program with its own objects.' });
export type UserResource = z.infer<typeof userSchema>;
export const userListSchema = listOf(userSchema, 'UserList');

export const createUserSchema = z
  .strictObject({ email: emailSchema, role: z.enum(userRoles).default('user'), password: newPasswordSchema })
  .meta({ id: 'CreateUser', description: 'Adds a user; admins only.' });
export type CreateUser = z.infer<typeof createUserSchema>;

export const updateUserSchema = z
  .strictObject({ role: z.enum(userRoles), password: newPasswordSchema })
  .partial()
  .refine((value) => Object.keys(value).length > 0, 'must change at least one field')
  .meta({ id: 'UpdateUser', description: 'Fields to change; admins only.' });
export type UpdateUser = z.infer<typeof updateUserSchema>;

export const meSchema = z
  .object({
    id: idSchema('user'),
    email: z.string(),
    role: z.enum(userRoles),
    scopes: z.array(z.enum(tokenScopes)),
    tokenId: z.string().nullable().meta({ description: 'Null in a browser session.' }),
    installationId: z.string(),
    masterKeyConfirmedAt: timestamp
      .nullable()
      .meta({ description: 'Null until a person confirmed that the master key is saved elsewhere.' }),
  })
  .meta({ id: 'Me', description: 'Who the caller is and what this token may do.' });
export type MeResource = z.infer<typeof meSchema>;

export const createTokenSchema = z
  .strictObject({
    name: nameSchema,
    scopes: z
      .array(z.enum(tokenScopes))
      .min(1)
      .max(3)
      .meta({ example: ['read', 'operate'] }),
    expiresAt: requestTime.nullable().optional(),
  })
  .meta({ id: 'CreateToken', description: 'A bearer token for programs; never with more rights than its maker has.' });
export type CreateToken = z.infer<typeof createTokenSchema>;

export const tokenSchema = z
  .object({
    id: idSchema('token'),
    name: z.string(),
    scopes: z.array(z.enum(tokenScopes)),
    userId: z.string(),
    createdAt: timestamp,
    lastUsedAt: timestamp.nullable(),
    expiresAt: timestamp.nullable(),
    revokedAt: timestamp.nullable(),
  })
  .meta({ id: 'Token', description: 'A bearer token, without its secret.' });
export type TokenResource = z.infer<typeof tokenSchema>;
export const tokenListSchema = listOf(tokenSchema, 'TokenList');

export const createdTokenSchema = tokenSchema
  .extend({
    token: z.string().optional().meta({ description: 'The secret, shown once; absent in a replayed answer.' }),
  })
  .meta({ id: 'CreatedToken', description: 'A new token with its secret, shown this once.' });
export type CreatedToken = z.infer<typeof createdTokenSchema>;

export const createSessionSchema = z
  .strictObject({ email: emailSchema, password: secretText(256, 'Password of the user.').min(1) })
  .meta({ id: 'CreateSession', description: 'Signs a browser in.' });
export type CreateSession = z.infer<typeof createSessionSchema>;

export const sessionSchema = z
  .object({ id: idSchema('session'), userId: z.string(), createdAt: timestamp, expiresAt: timestamp })
  .meta({ id: 'Session', description: 'A browser session.' });
export type SessionResource = z.infer<typeof sessionSchema>;
export const sessionListSchema = listOf(sessionSchema, 'SessionList');

export const listAuditEventsQuery = z.strictObject({
  action: z
    .string()
    .regex(/^[a-z]+(\.[a-z_]+)*$/)
    .max(64)
    .optional()
    .meta({ description: 'Exact action.', example: 'backup.requested' }),
  objectId: plainText(64, 'Id of the object.').optional(),
  userId: idSchema('user').optional(),
  from: requestTime.optional(),
  to: requestTime.optional(),
  ...pageFields,
});
export type ListAuditEventsQuery = z.infer<typeof listAuditEventsQuery>;

export const auditEventSchema = z
  .object({
    id: idSchema('audit'),
    at: timestamp,
    userId: z.string().nullable(),
    tokenId: z.string().nullable(),
    action: z.string(),
    objectId: z.string().nullable(),
    requestId: z.string().nullable(),
    details: z.record(z.string(), z.unknown()).nullable(),
  })
  .meta({ id: 'AuditEvent', description: 'Who changed what, when.' });
export type AuditEventResource = z.infer<typeof auditEventSchema>;
export const auditEventListSchema = listOf(auditEventSchema, 'AuditEventList');

/** A wrapping key as exported: with it and the destination, `tidemark extract` reads the backups made under it. */
export const exportedKeySchema = z
  .object({
    format: z.literal('tidemark-wrapping-key-1'),
    keyId: idSchema('key'),
    planId: z.string().nullable(),
    policyId: z.string().nullable(),
    key: z.string().refine(isPlainText).meta({ description: 'The key, base64. Keep it as secret as the data.' }),
    exportedAt: timestamp,
  })
  .meta({
    id: 'ExportedKey',
    description:
      'A wrapping key in the clear; admins only. Saved as it is, the answer is the key file that `tidemark extract` takes.',
  });
export type ExportedKey = z.infer<typeof exportedKeySchema>;

export const rotatedKeySchema = z
  .object({ keyId: idSchema('key'), retiredKeyId: idSchema('key') })
  .meta({ id: 'RotatedKey', description: 'The key of the next backups and the one it takes over from.' });
export type RotatedKey = z.infer<typeof rotatedKeySchema>;

export const masterKeyConfirmationSchema = z
  .object({ masterKeyConfirmedAt: timestamp })
  .meta({ id: 'MasterKeyConfirmation', description: 'When a person said that the master key is saved elsewhere.' });
export type MasterKeyConfirmation = z.infer<typeof masterKeyConfirmationSchema>;
