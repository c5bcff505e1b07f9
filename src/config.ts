/** The only reader of the environment. */

const INHERITED = /^(PATH|LANG|LANGUAGE|LC_[A-Z]+|TZ)$/;

/** What every child process may inherit: where programs are, and how text and times are written. */
export function inheritedEnvironment(): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && INHERITED.test(name)) out[name] = value;
  }
  return out;
}
