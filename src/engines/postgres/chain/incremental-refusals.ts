import { TidemarkError } from '../../../domain/errors.js';

/** Why no incremental is possible; kept in `details.object` of `incremental_impossible`. */
export const incrementalRefusals = [
  'version',
  'summaries_off',
  'summaries_missing',
  'summaries_stuck',
  'identity',
  'manifest',
  'timeline',
  'standby',
] as const;
export type IncrementalRefusal = (typeof incrementalRefusals)[number];

const sentences: Record<IncrementalRefusal, string> = {
  version: 'the server is older than PostgreSQL 17, which brought incremental backups',
  summaries_off: 'summarize_wal is off on the server, so it does not know what changed',
  summaries_missing: 'the server no longer has its WAL summaries since the parent',
  summaries_stuck: 'the WAL summarizer of the server makes no progress',
  identity: 'the parent is a backup of another cluster',
  manifest: 'the manifest of the parent is missing or damaged',
  timeline: "the parent's timeline is not in the history of the server",
  standby: 'too little has happened on this standby since the parent; the primary can take it',
};

/** `details.object` is the reason, so that a refused standby can be told from what every source of the server would refuse. */
export function refuseIncremental(reason: IncrementalRefusal, words?: string, statement?: string): TidemarkError {
  return new TidemarkError(
    'incremental_impossible',
    `An incremental backup is not possible: ${sentences[reason]}.${words ? ` The server says: ${words}` : ''}${statement === undefined ? '' : ` Run: ${statement}`}`,
    { object: reason, ...(statement === undefined ? {} : { statement }) },
  );
}

/** Words of pg_basebackup and the server (17 and 18), in the order in which they are sought. */
const words: readonly (readonly [RegExp, IncrementalRefusal])[] = [
  [/server does not support incremental backup/, 'version'],
  [/cannot be taken unless WAL summarization is enabled/, 'summaries_off'],
  [
    /summaries for that timeline and LSN range are (incomplete|missing)|WAL summaries are required/,
    'summaries_missing',
  ],
  [/WAL summarization is not progressing/, 'summaries_stuck'],
  [/system identifier in backup manifest is/, 'identity'],
  [/manifest requires WAL from final timeline .*but this backup starts at/, 'standby'],
  [/found in manifest, but not in this server's history|manifest requires WAL from/, 'timeline'],
  [/manifest checksum mismatch|could not (parse|upload|open|read)[^\n]*manifest|invalid manifest/, 'manifest'],
];

/** The refusal that a tool's words mean, or null when they mean something else. */
export function explainRefusal(stderr: string): TidemarkError | null {
  const lines = stderr.split('\n').filter((line) => /error:|ERROR:|FATAL:|DETAIL:|HINT:/.test(line));
  const text = lines.join('\n');
  // A broken connection during the upload of the manifest is no refusal.
  if (/server closed the connection|terminating connection|could not send data/.test(text)) return null;
  for (const [pattern, reason] of words)
    if (pattern.test(text))
      return refuseIncremental(
        reason,
        lines.map((line) => line.replace(/^pg_basebackup: (error: )?/, '').trim()).join(' '),
      );
  return null;
}
