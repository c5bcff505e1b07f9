import { TidemarkError } from '../../domain/errors.js';

/** One quoted identifier or string as the dump tool writes it (bytes as latin1). */
const NAME = '`(?:[^`]|``)*`';
const TEXT = "'(?:[^'\\\\]|\\\\.|'')*'";

/**
 * The head of CREATE EVENT as the server prints it and the dump tool wraps it in version comments. It is anchored at the statement's
 * start and ends before DO, so that nothing in a body can be taken for it.
 */
const HEAD = new RegExp(
  `^(/\\*!50106 CREATE\\*/ /\\*!50117 DEFINER=${NAME}(?:@${NAME})?\\*/ /\\*!50106 EVENT (${NAME}) ON SCHEDULE ` +
    `(?:AT ${TEXT}|EVERY (?:${TEXT}|[^' ]+) [A-Z_]+(?: STARTS ${TEXT})?(?: ENDS ${TEXT})?) ON COMPLETION (?:NOT )?PRESERVE )` +
    `(ENABLE|DISABLE ON SLAVE|DISABLE ON REPLICA|DISABLE)(?= (?:COMMENT |DO ))`,
  'gm',
);
const EVERY_STATEMENT = /^\/\*!50106 CREATE\*\//gm;

export type StagedEvents = {
  readonly sql: Buffer;
  /** Names of the events that are enabled in the dump and were written disabled. */
  readonly enabled: readonly string[];
};

/**
 * Rewrites the events part so that every event is created disabled: an enabled one would fire in the staging database. The part holds
 * nothing but definitions. Throws `load_failed` when a statement does not have the expected form: then nothing is loaded.
 */
export function disableEvents(part: Buffer): StagedEvents {
  // latin1 keeps every byte as it is: bodies may be in any character set.
  const text = part.toString('latin1');
  const enabled: string[] = [];
  let seen = 0;
  const rewritten = text.replace(HEAD, (_all, head: string, name: string, status: string) => {
    seen += 1;
    if (status === 'ENABLE')
      enabled.push(Buffer.from(name.slice(1, -1).replaceAll('``', '`'), 'latin1').toString('utf8'));
    return status === 'ENABLE' ? `${head}DISABLE` : `${head}${status}`;
  });
  const expected = text.match(EVERY_STATEMENT)?.length ?? 0;
  if (seen !== expected) {
    throw new TidemarkError(
      'load_failed',
      `The events part has ${expected} events, but only ${seen} could be read: they would fire while the restore is built.`,
    );
  }
  return { sql: Buffer.from(rewritten, 'latin1'), enabled };
}
