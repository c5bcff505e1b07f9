/** Loaded before every test file: its temporary folders lie in the run's own, which goes with the run, or with the next one when this one is killed. */
import { dirname, join } from 'node:path';
import { inject } from 'vitest';

// A short name: sockets lie below it, and their paths hold 107 bytes at most.
process.env.TMPDIR = join(dirname(inject('engineKeeper')), 't');
