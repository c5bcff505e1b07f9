import type { SwapStep } from '../engine.js';
import { createDatabaseStatement, databaseOptions } from './database-settings.js';
import type { ObjectDefinition } from './definitions.js';
import { disabledText, isEnabled } from './event-state.js';
import { recordedGrantStatements, routineGrantStatements } from './grant-statements.js';
import { createStatements, dropStatement } from './programs.js';
import { quoteIn, quoteName, quoteText } from './quote.js';
import { NOTES_TABLE } from './restore-names.js';
import type { RestoreNotes } from './restore-notes.js';
import type { Content } from './swap-content.js';
import type { Move } from './table-moves.js';
import {
  back,
  HIDDEN_IN,
  HIDDEN_OUT,
  hiddenProbe,
  makeWay,
  movedProbe,
  onHidden,
  rename,
  shownProbe,
} from './table-moves.js';

export type Exchange = {
  /** What comes: a staging database, or a kept former content. */
  readonly incoming: Content;
  readonly targetName: string;
  /** Null when there is no such database yet. */
  readonly target: Content | null;
  /** Where the present content goes; null when there is none. */
  readonly outgoing: string | null;
  readonly literalNames: boolean;
  /** Drop the emptied database of the incoming content at the end. */
  readonly dropIncoming: boolean;
};

const notesTable = (database: string) => quoteIn(database, NOTES_TABLE);
const createNotesTable = (database: string) =>
  `CREATE TABLE IF NOT EXISTS ${notesTable(database)} (id INT PRIMARY KEY, notes LONGTEXT NOT NULL) CHARACTER SET utf8mb4`;
const isThere = (database: string) =>
  `SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${quoteText(database)}`;
const nothingLeft = (view: string, column: string, databases: readonly string[]) =>
  `SELECT COUNT(*) = 0 FROM information_schema.${view} WHERE ${column} IN (${databases.map(quoteText).join(', ')})`;

/**
 * The steps by which `incoming` becomes the target. MySQL has no rename of databases: tables move by ONE statement, all or nothing; what
 * cannot move (triggers, views, routines, events) is taken down before it and made anew after it. Every list of statements may be run
 * again from its beginning. Where a step is more than one statement, its last one leaves a mark in the incoming database, which its
 * probe looks for; reverts are harmless whatever of the step was done.
 *
 * Shutting out: `hide-tables` renames every table inside the target's own database, where triggers follow, so that applications find none
 * of them; `show-tables` is the same for what came. No table can be reached by its name without its triggers, whatever dies in
 * between (docs/decisions/0010). All that the former content needs is made before that, because undoing a later step
 * takes back what applications have written since.
 */
export function exchangeSteps(exchange: Exchange): SwapStep[] {
  const { incoming, targetName, target, outgoing } = exchange;
  const from = incoming.database;
  const steps: SwapStep[] = [];
  const add = (name: string, apply: string[], revert: string[], probe: string) =>
    steps.push({ name, database: null, apply, revert, probe });
  /** A step of several statements, with its mark. */
  const addMarked = (name: string, apply: string[], revert: string[]) => {
    const id = 100 + steps.length;
    add(
      name,
      [...apply, `REPLACE INTO ${notesTable(from)} VALUES (${id}, ${quoteText(JSON.stringify(name))})`],
      [`DELETE FROM ${notesTable(from)} WHERE id = ${id}`, ...revert],
      `SELECT COUNT(*) FROM ${notesTable(from)} WHERE id = ${id}`,
    );
  };
  const old = target ?? null;
  const oldTriggers = old?.triggers ?? [];
  const oldSettings = old?.settings ?? incoming.settings;

  if (old === null) {
    const create = createDatabaseStatement(targetName, incoming.settings).replace(
      'CREATE DATABASE',
      'CREATE DATABASE IF NOT EXISTS',
    );
    add(
      'create-target',
      [createNotesTable(from), create],
      [`DROP DATABASE IF EXISTS ${quoteName(targetName)}`],
      isThere(targetName),
    );
  }
  if (old !== null && outgoing !== null) {
    const notes: RestoreNotes = {
      grants: {},
      surroundings: {},
      counters: null,
      enabledEvents: old.events.filter((event) => isEnabled(event.statement)).map((event) => event.name),
    };
    addMarked(
      'create-previous',
      [
        createNotesTable(from),
        createDatabaseStatement(outgoing, old.settings).replace('CREATE DATABASE', 'CREATE DATABASE IF NOT EXISTS'),
        createNotesTable(outgoing),
        `REPLACE INTO ${notesTable(outgoing)} VALUES (1, ${quoteText(JSON.stringify(notes))})`,
      ],
      [`DROP DATABASE IF EXISTS ${quoteName(outgoing)}`],
    );
  }
  if (old !== null && old.events.length > 0) {
    add(
      'stop-events',
      old.events.map((event) => dropStatement(event, targetName)),
      createStatements(old.events, targetName, old.settings),
      nothingLeft('EVENTS', 'EVENT_SCHEMA', [targetName]),
    );
  }
  const oldViews = old?.views ?? [];
  if (oldViews.length > 0) {
    // Before the tables go: undone in reverse, views find them again.
    addMarked(
      'take-down-views',
      oldViews.map((view) => dropStatement(view, targetName)),
      createStatements(oldViews, targetName, oldSettings),
    );
  }
  const oldTables = old?.tables ?? [];
  const hideOld = oldTables.map((table, index): Move => [targetName, table, targetName, `${HIDDEN_OUT}${index}`]);
  if (hideOld.length > 0) {
    add('hide-tables', [rename(hideOld)], [makeWay(hideOld), rename(back(hideOld))], hiddenProbe(hideOld));
  }
  const oldRoutines = old?.routines ?? [];
  if (old !== null && oldRoutines.length > 0) {
    const keys = new Set(oldRoutines.map((routine) => `${routine.type} ${routine.name}`));
    addMarked(
      'take-down-routines',
      oldRoutines.map((routine) => dropStatement(routine, targetName)),
      [
        ...createStatements(oldRoutines, targetName, oldSettings),
        // DROP of a routine takes the grants on it away.
        ...routineGrantStatements(old.grants.routines, targetName, keys),
      ],
    );
  }
  if (oldTriggers.length + incoming.triggers.length > 0) {
    add(
      'take-down-triggers',
      [
        ...oldTriggers.map((trigger) => dropStatement(trigger, targetName)),
        ...incoming.triggers.map((trigger) => dropStatement(trigger, from)),
      ],
      [
        ...createStatements(onHidden(oldTriggers, hideOld), targetName, oldSettings),
        ...createStatements(incoming.triggers, from, incoming.settings),
      ],
      nothingLeft('TRIGGERS', 'TRIGGER_SCHEMA', [targetName, from]),
    );
  }
  const show = incoming.tables.map((table, index): Move => [targetName, `${HIDDEN_IN}${index}`, targetName, table]);
  const moves = [
    ...(outgoing === null ? [] : hideOld.map(([, table, , hidden]): Move => [targetName, hidden, outgoing, table])),
    ...show.map(([, hidden, , table]): Move => [from, table, targetName, hidden]),
  ];
  if (moves.length > 0) add('move-tables', [rename(moves)], [rename(back(moves))], movedProbe(moves));
  if (old !== null && databaseOptions(old.settings) !== databaseOptions(incoming.settings)) {
    addMarked(
      'change-settings',
      [`ALTER DATABASE ${quoteName(targetName)} ${databaseOptions(changed(incoming, old))}`],
      [`ALTER DATABASE ${quoteName(targetName)} ${databaseOptions(changed(old, incoming))}`],
    );
  }
  if (old !== null && outgoing !== null) {
    const programs = [
      ...createStatements([...oldTriggers, ...oldRoutines, ...oldViews], outgoing, oldSettings),
      // It keeps its events, but they must not run any more.
      ...createStatements(old.events.map(disabled), outgoing, oldSettings),
    ];
    // Undone by its triggers alone, which would hold the tables here; the rest goes with the database.
    if (programs.length > 0)
      addMarked(
        'complete-previous',
        programs,
        oldTriggers.map((trigger) => dropStatement(trigger, outgoing)),
      );
  }
  if (incoming.routines.length > 0) {
    const keys = new Set(incoming.routines.map((routine) => `${routine.type} ${routine.name}`));
    addMarked(
      'create-routines',
      [
        ...createStatements(incoming.routines, targetName, incoming.settings),
        ...(old === null ? [] : routineGrantStatements(old.grants.routines, targetName, keys)),
      ],
      [...incoming.routines].reverse().map((routine) => dropStatement(routine, targetName)),
    );
  }
  if (incoming.triggers.length > 0) {
    addMarked(
      'put-up-triggers',
      createStatements(onHidden(incoming.triggers, back(show)), targetName, incoming.settings),
      incoming.triggers.map((trigger) => dropStatement(trigger, targetName)),
    );
  }
  if (show.length > 0) {
    add('show-tables', [makeWay(back(show)), rename(show)], [rename(back(show))], shownProbe(show, from));
  }
  if (incoming.views.length > 0) {
    addMarked(
      'create-views',
      createStatements(incoming.views, targetName, incoming.settings),
      [...incoming.views].reverse().map((view) => dropStatement(view, targetName)),
    );
  }
  const given =
    old === null ? recordedGrantStatements(incoming.notes?.grants ?? {}, targetName, exchange.literalNames) : null;
  if (given !== null && given.grant.length > 0) addMarked('grant', given.grant, given.revoke);
  if (incoming.events.length > 0) {
    addMarked(
      'start-events',
      createStatements(incoming.events, targetName, incoming.settings),
      incoming.events.map((event) => dropStatement(event, targetName)),
    );
  }
  if (exchange.dropIncoming) {
    add(
      'drop-emptied',
      [`DROP DATABASE IF EXISTS ${quoteName(from)}`],
      [
        createDatabaseStatement(from, incoming.settings).replace('CREATE DATABASE', 'CREATE DATABASE IF NOT EXISTS'),
        createNotesTable(from),
      ],
      `SELECT 1 - COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${quoteText(from)}`,
    );
  }
  return steps;
}

const disabled = (event: ObjectDefinition): ObjectDefinition => ({
  ...event,
  statement: disabledText(event.statement),
});

/** Settings of `to`; encryption only where it differs, because naming it takes a privilege of its own on some servers. */
function changed(to: Content, current: Content) {
  const { encryption, ...rest } = to.settings;
  return encryption === undefined || encryption === current.settings.encryption ? rest : { ...rest, encryption };
}
