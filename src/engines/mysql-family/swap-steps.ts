import type { SwapStep } from '../engine.js';
import type { Brand } from './brand.js';
import { createDatabaseStatement, databaseOptions } from './database-settings.js';
import type { ObjectDefinition } from './definitions.js';
import { disabledText, isEnabled } from './event-state.js';
import { recordedGrantStatements, routineGrantStatements } from './grant-statements.js';
import { createStatements, dropStatement } from './programs.js';
import { quoteIn, quoteName, quoteText } from './quote.js';
import { NOTES_TABLE } from './restore-names.js';
import type { RestoreNotes } from './restore-notes.js';
import type { Content } from './swap-content.js';

export type Exchange = {
  readonly brand: Brand;
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

/** Under these settings a trigger can be made while the tables are locked: no ALTER DATABASE and no other connection is needed. */
function fitsUnderLock(triggers: readonly ObjectDefinition[], collation: string): boolean {
  return triggers.every(
    (trigger) => trigger.databaseCollation === collation && /^(utf8|utf8mb3|utf8mb4)$/.test(trigger.characterSet ?? ''),
  );
}

/**
 * The steps by which `incoming` becomes the target. MySQL has no rename of databases: tables move by ONE statement, all or nothing; what
 * cannot move (triggers, views, routines, events) is taken down before it and made anew after it. Every list of statements may be run
 * again from its beginning. Where a step is more than one statement, its last one leaves a mark in the incoming database, which its
 * probe looks for; reverts are harmless whatever of the step was done.
 *
 * Shutting out: views, routines and events are gone from the first step to the last, so that nothing runs over a mixture. On MySQL
 * the tables stay write-locked from the taking down of triggers to their remaking; MariaDB allows no RENAME under LOCK TABLES, so there
 * the lock covers each half and the rename stands between them.
 */
export function exchangeSteps(exchange: Exchange): SwapStep[] {
  const { brand, incoming, targetName, target, outgoing } = exchange;
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
  if (old !== null && old.views.length + old.routines.length > 0) {
    const keys = new Set(old.routines.map((routine) => `${routine.type} ${routine.name}`));
    addMarked(
      'take-down-programs',
      [...old.views, ...old.routines].map((object) => dropStatement(object, targetName)),
      [
        ...createStatements([...old.routines, ...old.views], targetName, old.settings),
        // DROP of a routine takes the grants on it away.
        ...routineGrantStatements(old.grants.routines, targetName, keys),
      ],
    );
  }
  if (old !== null && databaseOptions(old.settings) !== databaseOptions(incoming.settings)) {
    addMarked(
      'change-settings',
      [`ALTER DATABASE ${quoteName(targetName)} ${databaseOptions(changed(incoming, old))}`],
      [`ALTER DATABASE ${quoteName(targetName)} ${databaseOptions(changed(old, incoming))}`],
    );
  }

  const lockable =
    fitsUnderLock(incoming.triggers, incoming.settings.collation) && fitsUnderLock(oldTriggers, oldSettings.collation);
  const keepLock =
    brand.kind === 'mysql' && lockable && (outgoing === null || oldSettings.collation === incoming.settings.collation);
  const lockAll = (pairs: readonly (readonly [string, readonly string[]])[]) => {
    const names = pairs.flatMap(([database, tables]) => tables.map((table) => `${quoteIn(database, table)} WRITE`));
    return names.length === 0 ? [] : [`LOCK TABLES ${names.join(', ')}`];
  };
  const withTriggers = incoming.triggers.length + oldTriggers.length > 0;
  if (withTriggers) {
    const remake = [
      ...createStatements(oldTriggers, targetName, incoming.settings),
      ...createStatements(incoming.triggers, from, incoming.settings),
    ];
    add(
      'take-down-triggers',
      [
        ...lockAll([
          [targetName, old?.tables ?? []],
          [from, incoming.tables],
        ]),
        ...oldTriggers.map((trigger) => dropStatement(trigger, targetName)),
        ...incoming.triggers.map((trigger) => dropStatement(trigger, from)),
        ...(keepLock ? [] : ['UNLOCK TABLES']),
      ],
      lockable && oldSettings.collation === incoming.settings.collation
        ? [
            ...lockAll([
              [targetName, old?.tables ?? []],
              [from, incoming.tables],
            ]),
            ...remake,
            'UNLOCK TABLES',
          ]
        : remake,
      nothingLeft('TRIGGERS', 'TRIGGER_SCHEMA', [targetName, from]),
    );
  }
  const move = (tables: readonly string[], source: string, destination: string) =>
    tables.map((table) => `${quoteIn(source, table)} TO ${quoteIn(destination, table)}`);
  const forward = [
    ...(outgoing === null ? [] : move(old?.tables ?? [], targetName, outgoing)),
    ...move(incoming.tables, from, targetName),
  ];
  if (forward.length > 0) {
    const backward = [
      ...move(incoming.tables, targetName, from),
      ...(outgoing === null ? [] : move(old?.tables ?? [], outgoing, targetName)),
    ];
    add(
      'move-tables',
      [`RENAME TABLE ${forward.join(', ')}`],
      [`RENAME TABLE ${backward.join(', ')}`],
      movedProbe(exchange),
    );
  }
  if (withTriggers) {
    addMarked(
      'put-up-triggers',
      [
        ...(keepLock || !lockable ? [] : lockAll([[targetName, incoming.tables]])),
        ...createStatements(incoming.triggers, targetName, incoming.settings),
        ...(keepLock || !lockable ? [] : ['UNLOCK TABLES']),
        ...(outgoing === null ? [] : createStatements(oldTriggers, outgoing, oldSettings)),
        'UNLOCK TABLES',
      ],
      [
        ...incoming.triggers.map((trigger) => dropStatement(trigger, targetName)),
        ...(outgoing === null ? [] : oldTriggers.map((trigger) => dropStatement(trigger, outgoing))),
      ],
    );
  }
  const programs = [...incoming.routines, ...incoming.views];
  const oldPrograms = outgoing === null ? [] : [...(old?.routines ?? []), ...(old?.views ?? [])];
  if (programs.length + oldPrograms.length > 0) {
    const keys = new Set(incoming.routines.map((routine) => `${routine.type} ${routine.name}`));
    addMarked(
      'create-programs',
      [
        ...createStatements(programs, targetName, incoming.settings),
        ...(old === null ? [] : routineGrantStatements(old.grants.routines, targetName, keys)),
        ...(outgoing === null ? [] : createStatements(oldPrograms, outgoing, oldSettings)),
      ],
      [...programs].reverse().map((object) => dropStatement(object, targetName)),
    );
  }
  const given =
    old === null ? recordedGrantStatements(incoming.notes?.grants ?? {}, targetName, exchange.literalNames) : null;
  if (given !== null && given.grant.length > 0) addMarked('grant', given.grant, given.revoke);
  const oldEvents = outgoing === null ? [] : (old?.events ?? []);
  if (incoming.events.length + oldEvents.length > 0) {
    addMarked(
      'start-events',
      [
        // The former content keeps its events, but they must not run any more.
        ...(outgoing === null ? [] : createStatements(oldEvents.map(disabled), outgoing, oldSettings)),
        ...createStatements(incoming.events, targetName, incoming.settings),
      ],
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

/** The tables moved all at once, so that where one of them is tells about all. */
function movedProbe({ incoming, target, outgoing, targetName }: Exchange): string {
  const [first] = incoming.tables;
  const at = (database: string, table: string) =>
    `SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${quoteText(database)} AND BINARY TABLE_NAME = ${quoteText(table)}`;
  if (first !== undefined) return at(incoming.database, first).replace('COUNT(*)', 'COUNT(*) = 0');
  return at(outgoing ?? targetName, target?.tables[0] ?? '');
}
