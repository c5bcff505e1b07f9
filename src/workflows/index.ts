/** Every workflow, under the name in `workflowTypes`. The bundle is made from this file. */
export { archive } from './archive.js';
export { attach } from './attach.js';
export { backup } from './backup.js';
export { chain } from './chain.js';
export { checkDatabase } from './check-database.js';
export { checkDestination } from './check-destination.js';
export { checkPolicy } from './check-policy.js';
export { cleanUpSource } from './clean-up-source.js';
export { deleteBackup } from './delete-backup.js';
export { detach } from './detach.js';
export { fire } from './fire.js';
export { fireChain } from './fire-chain.js';
export { housekeeping } from './housekeeping.js';
export { notify } from './notify.js';
export { restore } from './restore.js';
export { revert } from './revert.js';
