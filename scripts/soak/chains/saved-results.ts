import { readFileSync, writeFileSync } from 'node:fs';
import type { EngineProduct } from '../../../src/platform/installed.js';
import type { ChainResults } from './run-chains.js';

/** A run as a file, so that several short ones can be added up where a long one would be in the way of others. */
export type SavedRun = {
  readonly seed: number;
  readonly minutes: number;
  readonly points: number;
  readonly kills: number;
  readonly commit: string;
  readonly endedEarly: boolean;
  readonly results: ChainResults;
};

const pairs = <T>(map: ReadonlyMap<EngineProduct, T>) => [...map];

export function saveRun(path: string, { results, ...about }: SavedRun): void {
  const { points, kills, backups, written, ...plain } = results;
  const maps = { points: pairs(points), kills: pairs(kills), backups: pairs(backups), written: pairs(written) };
  writeFileSync(path, JSON.stringify({ ...about, results: { ...plain, ...maps } }));
}

export function readRun(path: string): SavedRun {
  const { results, ...about } = JSON.parse(readFileSync(path, 'utf8'));
  const { points, kills, backups, written, ...plain } = results;
  const maps = { points: new Map(points), kills: new Map(kills), backups: new Map(backups), written: new Map(written) };
  return { ...about, results: { ...plain, ...maps } };
}

/** All of several runs as if they were one; a fault or a gap of one is a fault or a gap of all. */
export function addUp(runs: readonly SavedRun[]): ChainResults {
  const products = [...new Set(runs.flatMap(({ results }) => results.products))];
  const all = <T>(of: (results: ChainResults) => ReadonlyMap<EngineProduct, readonly T[]>) =>
    new Map(products.map((product) => [product, runs.flatMap(({ results }) => of(results).get(product) ?? [])]));
  const sum = (product: EngineProduct, of: 'own' | 'others') =>
    runs.reduce((total, { results }) => total + (results.written.get(product)?.[of] ?? 0), 0);
  return {
    products,
    points: all((results) => results.points),
    kills: all((results) => results.kills),
    backups: all((results) => results.backups),
    written: new Map(
      products.map((product) => [product, { own: sum(product, 'own'), others: sum(product, 'others') }]),
    ),
    gaps: runs.flatMap(({ results }) => results.gaps),
    faults: runs.flatMap(({ seed, results }) => results.faults.map((fault) => `seed ${seed}: ${fault}`)),
    closed: runs.every(({ results }) => results.closed),
    ranMs: runs.reduce((total, { results }) => total + results.ranMs, 0),
  };
}
