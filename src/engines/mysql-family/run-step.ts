import { isTidemarkError, TidemarkError } from '../../domain/errors.js';
import type { SwapStep } from '../engine.js';
import { serverErrorNumber, toEngineError } from './failures.js';
import { notGrantedNumbers } from './grant-statements.js';
import type { ProgramHead } from './programs.js';
import { parseProgram } from './programs.js';
import { quoteIn, quoteName } from './quote.js';
import { NOTES_TABLE } from './restore-names.js';
import type { RestoreScope } from './restore-scope.js';
import type { Session } from './session.js';
import { openSession } from './session.js';
import { parseWay } from './table-moves.js';

/** How long a statement of a swap may wait for the transactions of applications, in seconds. Applications wait behind it. */
const LOCK_WAIT_SECONDS = 20;

/** What a probe names is not there (yet, or any more): the step does not stand. */
const missingNumbers = new Set([1049, 1146]);
/** A rename of tables either happened or not; of other steps a part may have been done, and their reverts are harmless. */
const renames = new Set(['hide-tables', 'move-tables', 'show-tables']);
/** How often a table that an application made in the way of a rename is moved aside. */
const WAY_TRIES = 5;
/** What a view may still lack while others are made: table, valid view, column, function. */
const retryNumbers = new Set([1146, 1356, 1054, 1305]);

async function probe(session: Session, step: SwapStep): Promise<boolean> {
  try {
    const [row] = await session.raw(step.probe);
    return row !== undefined && Object.values(row)[0] === '1';
  } catch (error) {
    if (missingNumbers.has(serverErrorNumber(error) ?? 0)) return false;
    throw error;
  }
}

/** DROP DATABASE in a swap is for databases emptied by it: one that still holds a table is never dropped. */
async function refuseFullDatabase(session: Session, statement: string): Promise<void> {
  const match = /^DROP DATABASE IF EXISTS `((?:[^`]|``)+)`$/.exec(statement);
  if (!match) return;
  const database = match[1]?.replaceAll('``', '`') ?? '';
  const [table] = await session.raw(
    "SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_TYPE <> 'VIEW' AND TABLE_NAME <> ? LIMIT 1",
    [database, NOTES_TABLE],
  );
  if (table) {
    throw new TidemarkError(
      'swap_failed',
      `${database} should be empty by now but holds the table ${table.name}; it was not dropped.`,
      {
        object: database,
      },
    );
  }
}

const isUtf8 = (characterSet: string | null) =>
  characterSet === null || /^(utf8|utf8mb3|utf8mb4|binary|ascii)$/.test(characterSet);

async function createProgram(session: Session, head: ProgramHead, statement: string): Promise<void> {
  await session.raw(`USE ${quoteName(head.use)}`);
  const parts = [`sql_mode = ?`];
  const values = [head.sqlMode ?? ''];
  if (isUtf8(head.characterSet) && head.characterSet !== null) {
    parts.push('character_set_client = ?');
    values.push(head.characterSet);
  }
  if (head.connectionCollation !== null) {
    parts.push('collation_connection = ?');
    values.push(head.connectionCollation);
  }
  if (head.timeZone !== null) {
    parts.push('time_zone = ?');
    values.push(head.timeZone);
  }
  await session.raw(`SET ${parts.map((part) => `SESSION ${part}`).join(', ')}`, values);
  try {
    await session.raw(statement);
  } finally {
    await session.raw("SET SESSION sql_mode = '', SESSION time_zone = '+00:00'");
    if (isUtf8(head.characterSet)) await session.raw('SET NAMES utf8mb4');
  }
}

/** See makeWay(). */
async function moveAside(session: Session, way: NonNullable<ReturnType<typeof parseWay>>): Promise<void> {
  const rows = await session.raw('SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?', [
    way.database,
  ]);
  const wanted = new Set(way.names);
  for (const { name } of rows) {
    if (!name || !wanted.has(name)) continue;
    const aside = `${[...name].slice(0, 40).join('')}__made_${Date.now()}`;
    await session.raw(`RENAME TABLE ${quoteIn(way.database, name)} TO ${quoteIn(way.database, aside)}`);
  }
}

async function runOne(scope: RestoreScope, statement: string): Promise<void> {
  const way = parseWay(statement);
  if (way !== null) return moveAside(scope.control, way);
  const program = parseProgram(statement);
  if (program === null) {
    await refuseFullDatabase(scope.control, statement);
    await scope.control.raw(statement);
    return;
  }
  if (isUtf8(program.head.characterSet)) return createProgram(scope.control, program.head, program.statement);
  // The text of a program is read in its client's character set: it must be sent in that one.
  const session = await openSession(scope.connection, {
    database: null,
    name: scope.sessionName,
    signal: scope.context.signal,
    characterSet: program.head.characterSet ?? undefined,
  });
  try {
    await createProgram(session, program.head, program.statement);
  } finally {
    await session.close();
  }
}

async function runAll(
  scope: RestoreScope,
  statements: readonly string[],
  direction: 'apply' | 'revert',
): Promise<void> {
  let waiting: string[] = [];
  const attempt = async (statement: string) => {
    try {
      await runOne(scope, statement);
    } catch (error) {
      const number = serverErrorNumber(error) ?? 0;
      if (direction === 'revert' && /^REVOKE /.test(statement) && notGrantedNumbers.has(number)) return;
      if (direction === 'revert' && /^DELETE FROM /.test(statement) && missingNumbers.has(number)) return;
      if (parseProgram(statement)?.head.retry && retryNumbers.has(number)) {
        waiting.push(statement);
        return;
      }
      throw error;
    }
  };
  for (const statement of statements) await attempt(statement);
  while (waiting.length > 0) {
    const again = waiting;
    waiting = [];
    for (const statement of again) await attempt(statement);
    const [stuck] = waiting;
    // No view could be made in a whole round: let the first one say why.
    if (waiting.length === again.length && stuck !== undefined) return runOne(scope, stuck);
  }
}

/** See RestoreSession.runStep. */
export async function runStep(scope: RestoreScope, step: SwapStep, direction: 'apply' | 'revert'): Promise<void> {
  const { control, connection } = scope;
  try {
    await control.raw(`SET SESSION lock_wait_timeout = ${LOCK_WAIT_SECONDS}`);
    const stands = await probe(control, step);
    if (direction === 'apply' && stands) return;
    if (direction === 'revert' && !stands && renames.has(step.name)) return;
    const statements = direction === 'apply' ? step.apply : step.revert;
    for (let left = WAY_TRIES; ; left -= 1) {
      try {
        await runAll(scope, statements, direction);
        break;
      } catch (error) {
        // 1050: made again between moving it aside and the rename.
        if (left === 0 || serverErrorNumber(error) !== 1050 || !statements.some((text) => parseWay(text))) throw error;
      }
    }
    if ((await probe(control, step)) !== (direction === 'apply')) {
      throw new TidemarkError(
        'swap_failed',
        `The step ${step.name} ran, but its probe does not see it (${direction}).`,
        {
          object: step.name,
        },
      );
    }
  } catch (error) {
    if (isTidemarkError(error)) throw error;
    throw toEngineError(error, connection, `The step ${step.name} of the swap failed (${direction})`, 'swap_failed');
  }
}
