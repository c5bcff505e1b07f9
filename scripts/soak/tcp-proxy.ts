import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';

/** A loopback port that leads to another one, until it is told not to. */
export type TcpProxy = {
  readonly host: string;
  readonly port: number;
  /** Ends every connection at once, as a pulled cable does that is put back. */
  cut(): void;
  /** Ends every connection and refuses new ones until `heal`. */
  refuse(): void;
  /** Keeps every connection open and lets no byte pass until `heal`. */
  stall(): void;
  heal(): void;
  close(): Promise<void>;
};

/** Leads to `target()`, asked for each connection: a component may have moved to another port. */
export async function startTcpProxy(target: () => number, host = '127.0.0.1'): Promise<TcpProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let state: 'open' | 'refusing' | 'stalled' = 'open';
  const server = createServer((inner) => {
    if (state === 'refusing') return void inner.resetAndDestroy();
    const outer = connect({ host: '127.0.0.1', port: target() });
    const pair = [inner, outer] as const;
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      inner.destroy();
      outer.destroy();
    };
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', end).on('close', end);
    }
    inner.on('end', () => outer.end());
    outer.on('end', () => inner.end());
    inner.pipe(outer, { end: false });
    outer.pipe(inner, { end: false });
    if (state === 'stalled') hold(pair);
  });
  const hold = (pair: readonly [Socket, Socket]) => {
    pair[0].unpipe(pair[1]).pause();
    pair[1].unpipe(pair[0]).pause();
  };
  const drop = () => {
    for (const [inner, outer] of [...pairs]) {
      inner.resetAndDestroy();
      outer.destroy();
    }
  };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    host,
    port: address.port,
    cut: drop,
    refuse() {
      state = 'refusing';
      drop();
    },
    stall() {
      state = 'stalled';
      for (const pair of pairs) hold(pair);
    },
    heal() {
      if (state === 'stalled') {
        for (const [inner, outer] of pairs) {
          inner.pipe(outer, { end: false });
          outer.pipe(inner, { end: false });
        }
      }
      state = 'open';
    },
    async close() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      drop();
      await closed;
    },
  };
}
