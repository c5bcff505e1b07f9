import type { Fingerprint } from '../../domain/fingerprint.js';
import type { FittedContent } from '../engine.js';
import { TABLESPACE_NOTE } from './parse-definitions.js';
import { listNames, quoteText } from './quote.js';
import type { RestoreScope } from './restore-scope.js';

/** The tablespaces that the objects of a fingerprint lie in, the database's own left out. */
function tablespacesOf(like: Fingerprint): string[] {
  const names = like.objects.flatMap(({ definition }) => TABLESPACE_NOTE.exec(definition)?.[1] ?? []);
  return [...new Set(names)].sort();
}

/**
 * What this server can hold of the content: where it lacks one of the tablespaces, or the role may not create in it, no table can name any
 * of them, because pg_restore takes all or none.
 */
export async function fitToTarget(scope: RestoreScope, like: Fingerprint): Promise<FittedContent> {
  const named = tablespacesOf(like);
  if (named.length === 0) return { like, notes: [] };
  const rows = await scope.maintenance.rows(
    `SELECT t.name FROM pg_catalog.unnest(ARRAY[${named.map(quoteText).join(', ')}]) AS t(name)
     WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_tablespace s
       WHERE s.spcname = t.name AND pg_catalog.has_tablespace_privilege(s.oid, 'CREATE')) ORDER BY 1`,
  );
  if (rows.length === 0) return { like, notes: [] };
  const missing = listNames(rows.map((row) => row.name ?? ''));
  return {
    like: {
      ...like,
      objects: like.objects.map((object) => ({
        ...object,
        definition: object.definition.replace(TABLESPACE_NOTE, '$2'),
      })),
    },
    notes: [
      {
        code: 'tablespaces_missing',
        message: `The target server lacks tablespaces of the source, or ${scope.connection.username} may not create in them: ${missing}. All tables and indexes are in the default tablespace of the database.`,
      },
    ],
  };
}
