import { Prisma } from './generated/client.js';

/** The value of a JSON column that is never empty: plain data, members that are undefined dropped. */
export function jsonObject(value: object): Prisma.InputJsonObject {
  return JSON.parse(JSON.stringify(value)) as Prisma.InputJsonObject;
}

/** The value of a JSON column that may be empty; null is SQL NULL. */
export function jsonColumn(value: object | null): Prisma.InputJsonObject | typeof Prisma.DbNull {
  return value === null ? Prisma.DbNull : jsonObject(value);
}
