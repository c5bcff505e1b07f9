import { Prisma } from '../generated/client.js';

/** A JSON column's value: plain data of ours, which Prisma wants typed as its own. Undefined members are dropped as JSON does. */
export function toJson(value: unknown): Prisma.InputJsonValue {
  return JSON.parse(JSON.stringify(value)) as Prisma.InputJsonValue;
}

/** SQL NULL in a JSON column (plain null would be the JSON text `null`). */
export const noJson = Prisma.DbNull;
