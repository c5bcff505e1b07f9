-- DropIndex
DROP INDEX "LogSlice_chainId_epoch_seq_key";

-- AlterTable
ALTER TABLE "Backup" ADD COLUMN     "epoch" INTEGER;

-- AlterTable
ALTER TABLE "LogSlice" ADD COLUMN     "fromSeq" INTEGER NOT NULL,
ADD COLUMN     "objectKey" TEXT NOT NULL;

-- CreateIndex
CREATE UNIQUE INDEX "LogSlice_chainId_epoch_seq_fromSeq_key" ON "LogSlice"("chainId", "epoch", "seq", "fromSeq");
