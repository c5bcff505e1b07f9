-- AddForeignKey
ALTER TABLE "Restore" ADD CONSTRAINT "Restore_databaseId_fkey" FOREIGN KEY ("databaseId") REFERENCES "Database"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
