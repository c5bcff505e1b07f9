import type { DatabaseRow } from '../../catalog/databases.js';
import { TidemarkError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import { fitsEngine } from '../../domain/schemas/databases.js';
import type { CreateRestore, RestoreTarget, RestoreTargetRequest } from '../../domain/schemas/restores.js';
import type { Principal, UsecaseContext } from '../context.js';
import { requireDatabase } from '../get-database.js';
import { tlsColumn } from '../present/present-database.js';
import { invalidField } from './refusals.js';
import type { ResolvedSource } from './restore-source.js';
import { sealCredentials } from './seal-credentials.js';

/** Databases that belong to the server itself: replacing one would take the server down. */
const serverOwn: Record<string, readonly string[]> = {
  postgresql: ['postgres', 'template0', 'template1'],
  mysql: ['mysql', 'information_schema', 'performance_schema', 'sys'],
  mariadb: ['mysql', 'information_schema', 'performance_schema', 'sys'],
};

const usualPort: Record<string, number> = { postgresql: 5432, mysql: 3306, mariadb: 3306 };

export type ResolvedTarget = {
  readonly target: RestoreTarget;
  readonly tls: object | null;
  /** Secret of the registered database, or a new one-shot secret that must be inserted with the row. */
  readonly secret: { readonly id: string; readonly sealed: string | null };
};

/**
 * Finds out where a restore goes. Throws `target_required`, `not_supported` (previews, files), `not_found` for a database of another
 * user, `confirmation_required` and `forbidden` for the original, `invalid_request` for a name that cannot be a target.
 */
export async function resolveTarget(
  context: UsecaseContext,
  principal: Principal,
  source: ResolvedSource,
  request: CreateRestore,
): Promise<ResolvedTarget> {
  const wanted = request.target;
  if (wanted === undefined) {
    throw new TidemarkError(
      'target_required',
      `Say where ${source.text} goes: {kind: original}, or {kind: server} with a databaseId or a connection.`,
      { object: source.backup.id, fields: [{ field: '/target', message: 'is required' }] },
    );
  }
  if (wanted.kind === 'new_preview' || wanted.kind === 'preview') {
    throw new TidemarkError('not_supported', 'This build has no previews yet. Restore under another name instead.', {
      fields: [{ field: '/target/kind', message: 'must be original or server' }],
    });
  }
  const resolved =
    wanted.kind === 'original'
      ? toRegistered('original', source.database, source.database.database)
      : await toServer(context, principal, source, wanted);
  assertName(source.database.engine, resolved.target.database);
  assertMayTouchOriginal(context, principal, source, request, resolved.target);
  return resolved;
}

function toRegistered(
  kind: 'original' | 'server',
  row: Pick<DatabaseRow, 'id' | 'host' | 'port' | 'username' | 'secretId' | 'tls' | 'deletedAt'>,
  name: string,
): ResolvedTarget {
  if (row.deletedAt !== null) {
    throw new TidemarkError(
      'conflict',
      `The database ${row.id} is not registered any more, so its password is gone. Give a connection as the target instead.`,
      { object: row.id },
    );
  }
  const { host, port, username } = row;
  return {
    target: { kind, databaseId: row.id, host, port, username, database: name },
    tls: tlsColumn.parse(row.tls),
    secret: { id: row.secretId, sealed: null },
  };
}

async function toServer(
  context: UsecaseContext,
  principal: Principal,
  source: ResolvedSource,
  wanted: Extract<RestoreTargetRequest, { kind: 'server' }>,
): Promise<ResolvedTarget> {
  const { engine } = source.database;
  if (wanted.path !== undefined) {
    throw new TidemarkError(
      'not_supported',
      'A restore goes into a database, not into files; `tidemark extract` writes files.',
      {
        fields: [{ field: '/target/path', message: 'must be absent' }],
      },
    );
  }
  if (wanted.databaseId !== undefined) {
    const row = await requireDatabase(context, principal, wanted.databaseId);
    if (row.engine !== engine) {
      throw new TidemarkError(
        'not_supported',
        `A ${engine} backup cannot be restored into ${row.name} (${row.id}), which is a ${row.engine} database.`,
        { object: row.id },
      );
    }
    return toRegistered('server', row, wanted.database ?? row.database);
  }
  const { host, username, password } = wanted;
  if (host === undefined || username === undefined || password === undefined) {
    throw invalidField('/target', 'must have databaseId, or host, username and password');
  }
  await context.options.assertHostAllowed(host);
  const secret = await sealCredentials(context, { password }, newId('secret'));
  const port = wanted.port ?? usualPort[engine] ?? 0;
  const database = wanted.database ?? source.database.database;
  return {
    target: { kind: 'server', databaseId: null, host, port, username, database },
    tls: wanted.tls ?? null,
    secret,
  };
}

function assertName(engine: string, name: string): void {
  const folded = engine === 'postgresql' ? name : name.toLowerCase();
  if (serverOwn[engine]?.includes(folded) === true) {
    throw invalidField('/target/database', `must not be ${name}, which belongs to the server itself`);
  }
  // Staging databases and former contents are dropped by name: a user's database must not look like one.
  if (/^tm_stage_|__(before|reverted)_/i.test(name)) {
    throw invalidField(
      '/target/database',
      `must not be ${name}: such names are kept for databases that Tidemark makes and drops`,
    );
  }
  if (!fitsEngine(engine, name)) throw invalidField('/target/database', 'must be at most 63 bytes on PostgreSQL');
}

/** Names of one place, however written: the original under another spelling is still the original. */
export function placeKey(target: { host: string; port: number; database: string }): string {
  const host = target.host.toLowerCase().replace(/\.$/, '');
  const loopback = host === 'localhost' || host === '::1' || /^127\./.test(host);
  return `${loopback ? 'localhost' : host}:${target.port}/${target.database}`;
}

/** An installation can demand that only admins restore over an original. Owning it is checked by whoever reads the row. */
export function mayTouchOriginals(context: UsecaseContext, principal: Principal): boolean {
  return !context.options.originalNeedsAdmin || principal.role === 'admin';
}

function assertMayTouchOriginal(
  context: UsecaseContext,
  principal: Principal,
  source: ResolvedSource,
  request: CreateRestore,
  target: RestoreTarget,
): void {
  if (target.kind !== 'original' && placeKey(target) !== placeKey(source.database)) return;
  if (!mayTouchOriginals(context, principal)) {
    throw new TidemarkError('forbidden', 'On this installation only an administrator may restore over the original.', {
      object: source.database.id,
    });
  }
  if (!request.confirmOverwrite) {
    throw new TidemarkError(
      'confirmation_required',
      `The target is the original database ${source.database.name} (${source.database.id}). Send confirmOverwrite: true to go on.`,
      { object: source.database.id, fields: [{ field: '/confirmOverwrite', message: 'must be true' }] },
    );
  }
}
