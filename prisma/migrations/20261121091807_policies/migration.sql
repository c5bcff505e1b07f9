-- AlterTable
ALTER TABLE "Plan" ADD COLUMN     "origin" TEXT NOT NULL DEFAULT 'user';

-- AlterTable
ALTER TABLE "Backup" ADD COLUMN     "chainId" TEXT,
ADD COLUMN     "fellBack" JSONB,
ADD COLUMN     "serverId" TEXT,
ADD COLUMN     "sourceDatabaseId" TEXT,
ADD COLUMN     "startPosition" JSONB;

-- AlterTable
ALTER TABLE "Restore" ADD COLUMN     "policyId" TEXT,
ADD COLUMN     "recovery" JSONB;

-- CreateTable
CREATE TABLE "Policy" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "ownerId" TEXT NOT NULL,
    "destinationId" TEXT NOT NULL,
    "schedule" JSONB NOT NULL,
    "pitr" BOOLEAN NOT NULL,
    "retention" JSONB NOT NULL,
    "encryption" BOOLEAN NOT NULL DEFAULT true,
    "keyId" TEXT,
    "status" TEXT NOT NULL DEFAULT 'validating',
    "pausedBy" TEXT,
    "credentialsVerifiedAt" TIMESTAMP(3),
    "lastError" JSONB,
    "revision" INTEGER NOT NULL DEFAULT 1,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    "deletedAt" TIMESTAMP(3),

    CONSTRAINT "Policy_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Attachment" (
    "id" TEXT NOT NULL,
    "policyId" TEXT NOT NULL,
    "databaseId" TEXT NOT NULL,
    "chainId" TEXT,
    "activeKey" TEXT,
    "status" TEXT NOT NULL DEFAULT 'configuring',
    "pitrStatus" TEXT NOT NULL DEFAULT 'configuring',
    "pitrError" JSONB,
    "accepted" JSONB NOT NULL DEFAULT '[]',
    "findings" JSONB,
    "sandboxProvenAt" TIMESTAMP(3),
    "consecutiveFailures" INTEGER NOT NULL DEFAULT 0,
    "lastError" JSONB,
    "lastFullAt" TIMESTAMP(3),
    "lastIncrementalAt" TIMESTAMP(3),
    "requestedBy" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "detachedAt" TIMESTAMP(3),

    CONSTRAINT "Attachment_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Chain" (
    "id" TEXT NOT NULL,
    "policyId" TEXT NOT NULL,
    "serverId" TEXT NOT NULL,
    "slotName" TEXT NOT NULL,
    "archiveWanted" BOOLEAN NOT NULL DEFAULT false,
    "archiveStatus" TEXT NOT NULL DEFAULT 'off',
    "archiveError" JSONB,
    "archiveEpoch" INTEGER NOT NULL DEFAULT 0,
    "archiveToken" INTEGER NOT NULL DEFAULT 0,
    "archiveSince" TIMESTAMP(3),
    "coveredTo" TIMESTAMP(3),
    "sourceDatabaseId" TEXT,
    "endedAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "Chain_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "LogSlice" (
    "id" TEXT NOT NULL,
    "chainId" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "seq" INTEGER NOT NULL,
    "file" TEXT NOT NULL,
    "offset" BIGINT NOT NULL,
    "bytes" BIGINT NOT NULL,
    "storedBytes" BIGINT NOT NULL,
    "endsFile" BOOLEAN NOT NULL,
    "startPosition" JSONB NOT NULL,
    "endPosition" JSONB NOT NULL,
    "firstCommitAt" TIMESTAMP(3),
    "lastCommitAt" TIMESTAMP(3),
    "coversTo" TIMESTAMP(3),
    "sha256" TEXT NOT NULL,
    "previous" TEXT,
    "recordSha256" TEXT NOT NULL,
    "recordKey" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "supersededAt" TIMESTAMP(3),
    "deletedAt" TIMESTAMP(3),

    CONSTRAINT "LogSlice_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "LogGap" (
    "id" TEXT NOT NULL,
    "chainId" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "fromPosition" JSONB,
    "toPosition" JSONB,
    "from" TIMESTAMP(3),
    "to" TIMESTAMP(3),
    "reason" JSONB NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "LogGap_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "SourceCleanup" (
    "id" TEXT NOT NULL,
    "engine" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "port" INTEGER NOT NULL,
    "username" TEXT NOT NULL,
    "database" TEXT NOT NULL,
    "tls" JSONB,
    "secretId" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "policyId" TEXT,
    "databaseId" TEXT,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "lastError" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "doneAt" TIMESTAMP(3),

    CONSTRAINT "SourceCleanup_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Notification" (
    "id" TEXT NOT NULL,
    "event" TEXT NOT NULL,
    "dedupeKey" TEXT NOT NULL,
    "recipient" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "body" JSONB NOT NULL,
    "policyId" TEXT,
    "databaseId" TEXT,
    "backupId" TEXT,
    "ownerId" TEXT NOT NULL,
    "messageId" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "lastError" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "sentAt" TIMESTAMP(3),

    CONSTRAINT "Notification_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "Attachment_activeKey_key" ON "Attachment"("activeKey");

-- CreateIndex
CREATE INDEX "Attachment_policyId_idx" ON "Attachment"("policyId");

-- CreateIndex
CREATE INDEX "Attachment_chainId_idx" ON "Attachment"("chainId");

-- CreateIndex
CREATE UNIQUE INDEX "Chain_policyId_serverId_key" ON "Chain"("policyId", "serverId");

-- CreateIndex
CREATE INDEX "LogSlice_chainId_epoch_file_offset_idx" ON "LogSlice"("chainId", "epoch", "file", "offset");

-- CreateIndex
CREATE UNIQUE INDEX "LogSlice_chainId_epoch_seq_key" ON "LogSlice"("chainId", "epoch", "seq");

-- CreateIndex
CREATE INDEX "SourceCleanup_doneAt_idx" ON "SourceCleanup"("doneAt");

-- CreateIndex
CREATE UNIQUE INDEX "Notification_dedupeKey_key" ON "Notification"("dedupeKey");

-- CreateIndex
CREATE UNIQUE INDEX "Notification_messageId_key" ON "Notification"("messageId");

-- CreateIndex
CREATE INDEX "Notification_status_idx" ON "Notification"("status");

-- CreateIndex
CREATE INDEX "Notification_ownerId_createdAt_idx" ON "Notification"("ownerId", "createdAt");

-- CreateIndex
CREATE INDEX "Backup_chainId_createdAt_idx" ON "Backup"("chainId", "createdAt");

-- AddForeignKey
ALTER TABLE "Backup" ADD CONSTRAINT "Backup_policyId_fkey" FOREIGN KEY ("policyId") REFERENCES "Policy"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Backup" ADD CONSTRAINT "Backup_chainId_fkey" FOREIGN KEY ("chainId") REFERENCES "Chain"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Backup" ADD CONSTRAINT "Backup_serverId_fkey" FOREIGN KEY ("serverId") REFERENCES "Server"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Policy" ADD CONSTRAINT "Policy_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Policy" ADD CONSTRAINT "Policy_destinationId_fkey" FOREIGN KEY ("destinationId") REFERENCES "Destination"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Policy" ADD CONSTRAINT "Policy_keyId_fkey" FOREIGN KEY ("keyId") REFERENCES "WrappingKey"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Attachment" ADD CONSTRAINT "Attachment_policyId_fkey" FOREIGN KEY ("policyId") REFERENCES "Policy"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Attachment" ADD CONSTRAINT "Attachment_databaseId_fkey" FOREIGN KEY ("databaseId") REFERENCES "Database"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Attachment" ADD CONSTRAINT "Attachment_chainId_fkey" FOREIGN KEY ("chainId") REFERENCES "Chain"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Chain" ADD CONSTRAINT "Chain_policyId_fkey" FOREIGN KEY ("policyId") REFERENCES "Policy"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Chain" ADD CONSTRAINT "Chain_serverId_fkey" FOREIGN KEY ("serverId") REFERENCES "Server"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "LogSlice" ADD CONSTRAINT "LogSlice_chainId_fkey" FOREIGN KEY ("chainId") REFERENCES "Chain"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "LogGap" ADD CONSTRAINT "LogGap_chainId_fkey" FOREIGN KEY ("chainId") REFERENCES "Chain"("id") ON DELETE CASCADE ON UPDATE CASCADE;
