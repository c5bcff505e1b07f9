-- AlterTable
ALTER TABLE "Chain" ADD COLUMN     "archiveSeenAt" TIMESTAMP(3);
