/** The head of an event's definition up to its state; quoted parts are skipped as a whole. */
const HEAD = /^((?:`(?:[^`]|``)*`|'(?:[^'\\]|\\.|'')*'|[^`'])*? ON COMPLETION (?:NOT )?PRESERVE )/s;
const after = (state: string) => new RegExp(`${HEAD.source}${state}(?= (?:COMMENT |DO ))`, 's');
const DISABLED = after('DISABLE');
const ENABLED = after('ENABLE');

/** A CREATE EVENT as printed by the server, with its state turned to ENABLE when it is DISABLE. */
export function enabledText(definition: string): string {
  return definition.replace(DISABLED, '$1ENABLE');
}

export function disabledText(definition: string): string {
  return definition.replace(ENABLED, '$1DISABLE');
}

export function isEnabled(definition: string): boolean {
  return ENABLED.test(definition);
}
