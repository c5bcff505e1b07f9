-- AlterTable
ALTER TABLE "Backup" ADD COLUMN     "damage" JSONB;

-- AlterTable
ALTER TABLE "LogSlice" ADD COLUMN     "damage" JSONB;

-- AlterTable
ALTER TABLE "Restore" ADD COLUMN     "notes" JSONB NOT NULL DEFAULT '[]';
