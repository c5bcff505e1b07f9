const TAKEOVER = /^takeover-(\d+)\./;

/**
 * The files of a server that took over stand in the stored log beside those of its predecessor, whose names and numbers may be the same:
 * `takeover-1.binlog.000003`. How often the log has changed to another server before this file; 0 for the files of the first one.
 */
export const takeoverOf = (file = ''): number => Number(TAKEOVER.exec(file)?.[1] ?? '0');

/** A server's own file name as the stored log calls it after `takeover` changes of the server. */
export const asOfTakeover = (takeover: number, file: string): string =>
  takeover === 0 ? file : `takeover-${takeover}.${file}`;

/** The name under which the server itself knows a file of the stored log. */
export const ownFileName = (file: string): string => file.replace(TAKEOVER, '');
