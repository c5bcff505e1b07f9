/** The archive of a binary log beside the engine's own program, which writes plain files to a local disk. */
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { engineProductTitles } from '../src/platform/installed.js';
import { startFollower } from './chain-launch.js';
import type { FamilyProduct } from './chain-logical.js';
import type { LoadedSource } from './load.js';
import { runLoad, withSource } from './load.js';
import { queryServer, readEnd } from './load-tables.js';
import type { PlainReceiver } from './plain-receiver.js';
import { startReceiver } from './plain-receiver.js';
import { mebibytes, median, pairedRatio, ratio, seconds, table } from './report.js';
import type { TlsStore } from './tls-store.js';

type Way = 'peer' | 'tidemark';
type Sample = { wallMs: number; bytes: number };
export type ArchiveResult = {
  readonly product: FamilyProduct;
  /** While the same transactions are written: from the first one until everything is there. */
  readonly live: Record<Way, Sample[]>;
  /** One whole file that was there before: from its request until everything is there. */
  readonly backlog: Record<Way, Sample[]>;
};

/** Transactions of the live part. */
const COUNT = 20_000;
type Options = { readonly store: TlsStore; readonly dir: string; readonly rounds: number; readonly backlogMib: number };
type Archive = {
  /** Date.now() when it began, its program loaded; resolves when it is at work. */
  start(): Promise<number>;
  /** Waits until so much of a file is there; Date.now() of that moment. */
  until(file: string, bytes: number): Promise<number>;
  stop(): Promise<void>;
};

export async function benchArchive(product: FamilyProduct, options: Options): Promise<ArchiveResult> {
  return await withSource(product, { ...options, core: null }, async (source) => {
    const result: ArchiveResult = {
      product,
      live: { peer: [], tidemark: [] },
      backlog: { peer: [], tidemark: [] },
    };
    let epoch = 0;
    for (let round = 0; round < options.rounds; round += 1) {
      for (const way of round % 2 === 0 ? (['peer', 'tidemark'] as const) : (['tidemark', 'peer'] as const)) {
        const open = () => (way === 'peer' ? openPeer(source, options.dir) : openOurs(source, options, epoch++));
        result.live[way].push(await live(source, open()));
        console.log(`  ${product} round ${round + 1} live ${way}: ${seconds(result.live[way].at(-1)?.wallMs ?? 0)}`);
      }
      await fillFile(source, options.backlogMib);
      for (const way of round % 2 === 0 ? (['peer', 'tidemark'] as const) : (['tidemark', 'peer'] as const)) {
        const open = () => (way === 'peer' ? openPeer(source, options.dir) : openOurs(source, options, epoch++));
        result.backlog[way].push(await backlog(source, open()));
        console.log(
          `  ${product} round ${round + 1} backlog ${way}: ${seconds(result.backlog[way].at(-1)?.wallMs ?? 0)}`,
        );
      }
    }
    return result;
  });
}

async function live(source: LoadedSource, archive: Archive): Promise<Sample> {
  // A file of its own: an archive begins with the whole of the present one.
  await queryServer(source.site.connection, ['FLUSH BINARY LOGS']);
  await archive.start();
  try {
    const before = await readEnd(source.site.connection);
    const task = { connection: source.site.connection, sessions: 8, rate: null, count: COUNT };
    const { sentAt } = await runLoad(task, null);
    const end = await readEnd(source.site.connection);
    const thereAt = await archive.until(end.file, end.bytes);
    return { wallMs: thereAt - (sentAt[0] ?? 0), bytes: end.bytes - before.bytes };
  } finally {
    await archive.stop();
  }
}

/** A thousand rows in a transaction: a log of many small ones is what the live part is about. */
async function fillFile({ site }: LoadedSource, mib: number): Promise<void> {
  const random = Array.from({ length: 5 }, () => 'sha2(rand(), 256)').join(', ');
  const body = `concat(${random}, repeat('customer shipped pending invoice ', 22))`;
  const insert = `INSERT INTO entry (body) SELECT ${body} FROM counter LIMIT 1000`;
  const times = Math.ceil((mib * 1024) / 1050);
  await queryServer(site.connection, ['FLUSH BINARY LOGS', ...Array.from({ length: times }, () => insert)]);
}

async function backlog(source: LoadedSource, archive: Archive): Promise<Sample> {
  const end = await readEnd(source.site.connection);
  try {
    const begun = await archive.start();
    return { wallMs: (await archive.until(end.file, end.bytes)) - begun, bytes: end.bytes };
  } finally {
    await archive.stop();
  }
}

function openOurs({ site }: LoadedSource, { store, dir }: Options, epoch: number): Archive {
  const spoolDir = join(dir, `spool-${epoch}`);
  const follower = startFollower({ act: 'follow', site, epoch, spoolDir }, store);
  return {
    start: async () => {
      await follower.receiving();
      return await follower.begun();
    },
    until: async (file, bytes) => {
      const has = () => follower.slices.find((slice) => slice.file === file && slice.offset + slice.bytes >= bytes);
      await follower.until(() => has() !== undefined, `${file} is stored up to byte ${bytes}`);
      return has()?.at ?? 0;
    },
    stop: async () => {
      await follower.stop();
      rmSync(spoolDir, { recursive: true, force: true });
    },
  };
}

function openPeer(source: LoadedSource, base: string): Archive {
  const dir = join(base, 'raw');
  let receiver: PlainReceiver | null = null;
  return {
    start: () => {
      receiver = startReceiver(source, dir, null);
      return receiver.receiving();
    },
    until: async (file, bytes) => {
      while ((statSync(join(dir, file), { throwIfNoEntry: false })?.size ?? -1) < bytes) {
        if (receiver === null || receiver.exitCode() !== null) throw new Error(`the peer ended before it had ${file}`);
        await sleep(5);
      }
      return Date.now();
    },
    stop: async () => {
      await receiver?.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export function archiveSection(results: readonly ArchiveResult[], backlogMib: number): string[] {
  const row = (product: FamilyProduct, title: string, samples: Record<Way, Sample[]>) => {
    const wall = (way: Way) => samples[way].map((sample) => sample.wallMs);
    const speed = (way: Way) => median(samples[way].map(({ bytes, wallMs }) => bytes / (wallMs / 1000)));
    return [
      `${engineProductTitles[product]}, ${title}`,
      mebibytes(median(samples.tidemark.map(({ bytes }) => bytes))),
      seconds(median(wall('peer'))),
      seconds(median(wall('tidemark'))),
      ratio(pairedRatio(wall('tidemark'), wall('peer'))),
      `${mebibytes(speed('peer'))}/s`,
      `${mebibytes(speed('tidemark'))}/s`,
    ];
  };
  return [
    ...table(
      ['log archive', 'log', 'mysqlbinlog --raw', 'Tidemark', 'ratio', 'mysqlbinlog --raw', 'Tidemark'],
      results.flatMap(({ product, live: written, backlog: there }) => [
        row(product, `${COUNT} transactions at full speed`, written),
        row(product, `one file of ${backlogMib} MiB`, there),
      ]),
    ),
    '',
    'First rows: from the first transaction until the last one is there; a slice is begun once a second. Second rows: a log that is there already, from the start of the archive.',
    "The peer is the engine's own program, writing plain files to the local disk; Tidemark runs the same program, then compresses, encrypts, stores over TLS, and writes the slice's record.",
  ];
}
