// Stands in for the zstd program where that is not installed: node's zstd in a process of its own, the same level.
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';

const level = { [constants.ZSTD_c_compressionLevel]: 3 };
await pipeline(process.stdin, createZstdCompress({ chunkSize: 256 * 1024, params: level }), process.stdout);
