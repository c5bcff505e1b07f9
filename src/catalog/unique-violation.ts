import { Prisma } from './generated/client.js';

/** True when a write failed because a unique column already holds the value (Prisma P2002), for example `activeKey`. */
export function isUniqueViolation(error: unknown): boolean {
  return error instanceof Prisma.PrismaClientKnownRequestError && error.code === 'P2002';
}
