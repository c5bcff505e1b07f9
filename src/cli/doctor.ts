import type { Command } from 'commander';
import type { Config, ConfigVariable } from '../config.js';
import { describeEnvironment, loadConfig, ownEnvironment } from '../config.js';
import { TidemarkError } from '../domain/errors.js';
import type { Finding } from './doctor-checks.js';
import { runDoctorChecks } from './doctor-checks.js';

const headings: Record<Finding['area'], string> = {
  host: 'This machine',
  engines: 'Database engines (client programs and sandboxes)',
  tools: 'Tools',
  service: 'Service',
};

function formatFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  const lines: string[] = [];
  for (const area of Object.keys(headings) as Finding['area'][]) {
    const own = findings.filter((finding) => finding.area === area);
    if (own.length === 0) continue;
    lines.push(headings[area]);
    for (const { state, name, detail, remedy } of own) {
      lines.push(
        `  ${state.padEnd(8)} ${name.padEnd(width)}  ${detail}${remedy === null ? '' : `\n${' '.repeat(width + 13)}-> ${remedy}`}`,
      );
    }
    lines.push('');
  }
  return lines.join('\n');
}

type Described = ConfigVariable & { readonly set: boolean; readonly value: string | undefined };

function formatEnvironment(variables: readonly Described[]): string {
  const width = Math.max(...variables.map(({ name }) => name.length));
  const lines = variables.map((variable) => {
    const standard = variable.default === undefined ? '' : ` (default: ${variable.default})`;
    const value = variable.set
      ? `set${variable.value === undefined ? '' : `: ${variable.value}`}`
      : `not set${standard}`;
    return `  ${variable.name.padEnd(width)}  ${variable.description}\n${' '.repeat(width + 4)}${value}`;
  });
  return ['Environment', ...lines, ''].join('\n');
}

/** An environment that is not valid must not keep the doctor from saying so. */
function loadOrReport(): { config: Config; faults: Finding[] } {
  try {
    return { config: loadConfig(), faults: [] };
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    const fault: Finding = {
      area: 'service',
      name: 'environment',
      state: 'missing',
      detail: error.message,
      remedy: 'correct the variables named; the list below says what each takes',
    };
    const { HOME, XDG_CACHE_HOME, TIDEMARK_ENGINES } = ownEnvironment();
    return { config: loadConfig({ HOME, XDG_CACHE_HOME, TIDEMARK_ENGINES }), faults: [fault] };
  }
}

/** `tidemark doctor`: what is present, what is missing and how to get it; exit code 1 when Tidemark cannot run. */
export function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .description('Say what is present, what is missing and how to get it; list the environment variables')
    .option('--json', 'print one JSON object')
    .action(async (options: { json?: true }) => {
      const { config, faults } = loadOrReport();
      // Loaded here: the doctor must answer where the libraries of a worker would not even load.
      const temporal =
        config.temporal.address === undefined
          ? []
          : await (await import('./doctor-temporal.js')).checkSearchAttributes(config);
      const findings = [...(await runDoctorChecks(config)), ...temporal, ...faults];
      const environment = describeEnvironment();
      const missing = findings.filter(({ state }) => state === 'missing').length;
      if (options.json) {
        console.log(JSON.stringify({ ready: missing === 0, findings, environment }, null, 2));
      } else {
        const verdict =
          missing === 0 ? 'Tidemark can run here.' : `Tidemark cannot run here yet: ${missing} missing, see above.`;
        console.log(`\n${formatFindings(findings)}\n${formatEnvironment(environment)}\n${verdict}`);
      }
      if (missing > 0) process.exitCode = 1;
    });
}
