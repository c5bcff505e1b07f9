import { insertToken } from '../../catalog/accounts/tokens.js';
import { recordAudit } from '../../catalog/audit-events.js';
import { TidemarkError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import type { CreatedToken, CreateToken } from '../../domain/schemas/accounts.js';
import type { Principal, UsecaseContext } from '../context.js';
import { requireScope } from './scopes.js';
import { hashSecret, newTokenSecret } from './secrets.js';
import { toTokenResource } from './token-resource.js';

/** Makes a bearer token for the caller, with at most the caller's own rights. The secret is in this answer only. */
export async function createToken(
  context: UsecaseContext,
  principal: Principal,
  input: CreateToken,
): Promise<CreatedToken> {
  for (const scope of input.scopes) requireScope(principal, scope);
  const expiresAt = input.expiresAt ? new Date(input.expiresAt) : null;
  if (expiresAt && expiresAt <= new Date()) {
    const fields = [{ field: '/expiresAt', message: 'must lie in the future' }];
    throw new TidemarkError('invalid_request', 'The request is not valid: /expiresAt must lie in the future.', {
      fields,
    });
  }
  const secret = newTokenSecret();
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    const token = await insertToken(tx, {
      id: newId('token'),
      userId: principal.userId,
      name: input.name,
      scopes: [...new Set(input.scopes)],
      hash: hashSecret(secret),
      expiresAt,
    });
    const details = { name: token.name, scopes: token.scopes };
    await recordAudit(tx, principal, 'token.created', token.id, details);
    return token;
  });
  return { ...toTokenResource(row), token: secret };
}
