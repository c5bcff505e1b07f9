/**
 * There is nothing to take back: an archive leaves no object on a server of this family. The server ends the thread that fed a receiver with
 * the receiver's connection, one of a lost worker when it next sends it something.
 */
export async function releaseArchive(): Promise<void> {}
