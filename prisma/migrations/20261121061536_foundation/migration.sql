-- CreateTable
CREATE TABLE "Installation" (
    "id" TEXT NOT NULL,
    "masterKeyCheck" TEXT NOT NULL,
    "masterKeyConfirmedAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "Installation_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "User" (
    "id" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "role" TEXT NOT NULL,
    "passwordHash" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Token" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "scopes" TEXT[],
    "hash" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "lastUsedAt" TIMESTAMP(3),
    "expiresAt" TIMESTAMP(3),
    "revokedAt" TIMESTAMP(3),

    CONSTRAINT "Token_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Session" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expiresAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "Session_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Secret" (
    "id" TEXT NOT NULL,
    "purpose" TEXT NOT NULL,
    "sealed" TEXT NOT NULL,
    "restoreId" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "Secret_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "WrappingKey" (
    "id" TEXT NOT NULL,
    "sealed" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "exportedAt" TIMESTAMP(3),
    "retiredAt" TIMESTAMP(3),

    CONSTRAINT "WrappingKey_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Server" (
    "id" TEXT NOT NULL,
    "engine" TEXT NOT NULL,
    "identity" TEXT NOT NULL,
    "version" TEXT NOT NULL,
    "major" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "lastSeenAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "Server_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Database" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "engine" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "port" INTEGER NOT NULL,
    "username" TEXT NOT NULL,
    "secretId" TEXT NOT NULL,
    "database" TEXT NOT NULL,
    "tls" JSONB,
    "role" TEXT NOT NULL DEFAULT 'primary',
    "primaryId" TEXT,
    "ownerId" TEXT NOT NULL,
    "serverId" TEXT,
    "capabilities" JSONB,
    "findings" JSONB,
    "sizeBytes" BIGINT,
    "checkedAt" TIMESTAMP(3),
    "checkError" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    "deletedAt" TIMESTAMP(3),

    CONSTRAINT "Database_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Destination" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "endpoint" TEXT,
    "bucket" TEXT,
    "region" TEXT,
    "prefix" TEXT NOT NULL DEFAULT '',
    "forcePathStyle" BOOLEAN NOT NULL DEFAULT true,
    "path" TEXT,
    "secretId" TEXT,
    "enabled" BOOLEAN NOT NULL DEFAULT true,
    "credentialsVerifiedAt" TIMESTAMP(3),
    "checkError" JSONB,
    "ownerId" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    "deletedAt" TIMESTAMP(3),

    CONSTRAINT "Destination_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Plan" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "databaseId" TEXT NOT NULL,
    "destinationId" TEXT NOT NULL,
    "schedule" JSONB NOT NULL,
    "retention" JSONB,
    "encryption" BOOLEAN NOT NULL DEFAULT true,
    "keyId" TEXT,
    "status" TEXT NOT NULL DEFAULT 'active',
    "ownerId" TEXT NOT NULL,
    "revision" INTEGER NOT NULL DEFAULT 1,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    "deletedAt" TIMESTAMP(3),

    CONSTRAINT "Plan_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Backup" (
    "id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "label" TEXT,
    "databaseId" TEXT NOT NULL,
    "planId" TEXT,
    "policyId" TEXT,
    "parentId" TEXT,
    "destinationId" TEXT NOT NULL,
    "keyId" TEXT,
    "trigger" TEXT NOT NULL,
    "scheduledFor" TIMESTAMP(3),
    "requestedBy" TEXT,
    "activeKey" TEXT,
    "fencingToken" INTEGER NOT NULL DEFAULT 0,
    "cancelRequestedAt" TIMESTAMP(3),
    "progress" JSONB,
    "bytes" BIGINT,
    "storedBytes" BIGINT,
    "position" JSONB,
    "serverVersion" TEXT,
    "content" JSONB,
    "fingerprintUnavailable" TEXT,
    "manifestKey" TEXT,
    "proof" TEXT,
    "verifiedAt" TIMESTAMP(3),
    "blockedBy" TEXT,
    "error" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "startedAt" TIMESTAMP(3),
    "takenAt" TIMESTAMP(3),
    "completedAt" TIMESTAMP(3),
    "deleteRequestedAt" TIMESTAMP(3),
    "deleteError" JSONB,
    "deletedAt" TIMESTAMP(3),

    CONSTRAINT "Backup_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Attempt" (
    "id" TEXT NOT NULL,
    "backupId" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "fencingToken" INTEGER NOT NULL,
    "startedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "endedAt" TIMESTAMP(3),
    "published" BOOLEAN NOT NULL DEFAULT false,
    "error" JSONB,

    CONSTRAINT "Attempt_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Restore" (
    "id" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "source" JSONB NOT NULL,
    "target" JSONB NOT NULL,
    "backupId" TEXT NOT NULL,
    "databaseId" TEXT NOT NULL,
    "planId" TEXT,
    "targetDatabaseId" TEXT,
    "targetHost" TEXT NOT NULL,
    "targetPort" INTEGER NOT NULL,
    "targetUsername" TEXT NOT NULL,
    "targetSecretId" TEXT NOT NULL,
    "targetTls" JSONB,
    "targetName" TEXT NOT NULL,
    "overwrite" BOOLEAN NOT NULL DEFAULT false,
    "keepPreviousHours" INTEGER NOT NULL DEFAULT 24,
    "triggeredBy" TEXT NOT NULL,
    "activeKey" TEXT,
    "fencingToken" INTEGER NOT NULL DEFAULT 0,
    "cancelRequestedAt" TIMESTAMP(3),
    "progress" JSONB,
    "proof" TEXT,
    "comparison" JSONB,
    "way" TEXT,
    "stagingName" TEXT,
    "previousName" TEXT,
    "previousUntil" TIMESTAMP(3),
    "previousDroppedAt" TIMESTAMP(3),
    "revertedAt" TIMESTAMP(3),
    "revertError" JSONB,
    "shutOutSeconds" DOUBLE PRECISION,
    "lastApplied" JSONB,
    "firstRefused" JSONB,
    "error" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "startedAt" TIMESTAMP(3),
    "completedAt" TIMESTAMP(3),

    CONSTRAINT "Restore_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "SwapJournal" (
    "id" TEXT NOT NULL,
    "restoreId" TEXT NOT NULL,
    "purpose" TEXT NOT NULL,
    "plan" JSONB NOT NULL,
    "applied" INTEGER NOT NULL DEFAULT 0,
    "state" TEXT NOT NULL DEFAULT 'open',
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finishedAt" TIMESTAMP(3),

    CONSTRAINT "SwapJournal_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "IdempotencyKey" (
    "id" TEXT NOT NULL,
    "principal" TEXT NOT NULL,
    "route" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "bodyHash" TEXT NOT NULL,
    "resourceId" TEXT,
    "statusCode" INTEGER,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expiresAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "IdempotencyKey_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "AuditEvent" (
    "id" TEXT NOT NULL,
    "at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "userId" TEXT,
    "tokenId" TEXT,
    "action" TEXT NOT NULL,
    "objectId" TEXT,
    "requestId" TEXT,
    "details" JSONB,

    CONSTRAINT "AuditEvent_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "User_email_key" ON "User"("email");

-- CreateIndex
CREATE UNIQUE INDEX "Token_hash_key" ON "Token"("hash");

-- CreateIndex
CREATE UNIQUE INDEX "Session_hash_key" ON "Session"("hash");

-- CreateIndex
CREATE UNIQUE INDEX "Server_identity_key" ON "Server"("identity");

-- CreateIndex
CREATE INDEX "Database_ownerId_idx" ON "Database"("ownerId");

-- CreateIndex
CREATE UNIQUE INDEX "Backup_activeKey_key" ON "Backup"("activeKey");

-- CreateIndex
CREATE INDEX "Backup_databaseId_createdAt_idx" ON "Backup"("databaseId", "createdAt");

-- CreateIndex
CREATE INDEX "Backup_planId_createdAt_idx" ON "Backup"("planId", "createdAt");

-- CreateIndex
CREATE INDEX "Backup_status_idx" ON "Backup"("status");

-- CreateIndex
CREATE UNIQUE INDEX "Attempt_backupId_fencingToken_key" ON "Attempt"("backupId", "fencingToken");

-- CreateIndex
CREATE UNIQUE INDEX "Restore_activeKey_key" ON "Restore"("activeKey");

-- CreateIndex
CREATE INDEX "Restore_backupId_createdAt_idx" ON "Restore"("backupId", "createdAt");

-- CreateIndex
CREATE INDEX "Restore_planId_createdAt_idx" ON "Restore"("planId", "createdAt");

-- CreateIndex
CREATE INDEX "Restore_status_idx" ON "Restore"("status");

-- CreateIndex
CREATE UNIQUE INDEX "SwapJournal_restoreId_purpose_key" ON "SwapJournal"("restoreId", "purpose");

-- CreateIndex
CREATE UNIQUE INDEX "IdempotencyKey_principal_route_key_key" ON "IdempotencyKey"("principal", "route", "key");

-- CreateIndex
CREATE INDEX "AuditEvent_at_idx" ON "AuditEvent"("at");

-- AddForeignKey
ALTER TABLE "Token" ADD CONSTRAINT "Token_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Session" ADD CONSTRAINT "Session_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Database" ADD CONSTRAINT "Database_primaryId_fkey" FOREIGN KEY ("primaryId") REFERENCES "Database"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Database" ADD CONSTRAINT "Database_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Database" ADD CONSTRAINT "Database_serverId_fkey" FOREIGN KEY ("serverId") REFERENCES "Server"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Destination" ADD CONSTRAINT "Destination_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Plan" ADD CONSTRAINT "Plan_databaseId_fkey" FOREIGN KEY ("databaseId") REFERENCES "Database"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Plan" ADD CONSTRAINT "Plan_destinationId_fkey" FOREIGN KEY ("destinationId") REFERENCES "Destination"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Plan" ADD CONSTRAINT "Plan_keyId_fkey" FOREIGN KEY ("keyId") REFERENCES "WrappingKey"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Plan" ADD CONSTRAINT "Plan_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Backup" ADD CONSTRAINT "Backup_databaseId_fkey" FOREIGN KEY ("databaseId") REFERENCES "Database"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Backup" ADD CONSTRAINT "Backup_planId_fkey" FOREIGN KEY ("planId") REFERENCES "Plan"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Backup" ADD CONSTRAINT "Backup_destinationId_fkey" FOREIGN KEY ("destinationId") REFERENCES "Destination"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Backup" ADD CONSTRAINT "Backup_keyId_fkey" FOREIGN KEY ("keyId") REFERENCES "WrappingKey"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Attempt" ADD CONSTRAINT "Attempt_backupId_fkey" FOREIGN KEY ("backupId") REFERENCES "Backup"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Restore" ADD CONSTRAINT "Restore_backupId_fkey" FOREIGN KEY ("backupId") REFERENCES "Backup"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "SwapJournal" ADD CONSTRAINT "SwapJournal_restoreId_fkey" FOREIGN KEY ("restoreId") REFERENCES "Restore"("id") ON DELETE CASCADE ON UPDATE CASCADE;
