-- AlterTable
ALTER TABLE "Restore" ADD COLUMN     "mayReplaceOriginal" BOOLEAN NOT NULL DEFAULT false;
