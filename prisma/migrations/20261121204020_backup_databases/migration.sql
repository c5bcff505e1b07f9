-- AlterTable
ALTER TABLE "Backup" ADD COLUMN     "databases" JSONB;
