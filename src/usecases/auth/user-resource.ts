import type { User } from '../../catalog/accounts/users.js';
import type { UserResource } from '../../domain/schemas/accounts.js';
import type { UserRole } from '../../domain/statuses.js';

/** A user as the API shows it: without the password's hash. */
export function toUserResource(user: User): UserResource {
  return { id: user.id, email: user.email, role: user.role as UserRole, createdAt: user.createdAt.toISOString() };
}
