// The import matrix: which folder of src/ may import which (docs/architecture.md says why). `npm run lint:arrows` holds it;
// test/unit/arrows.test.ts proves that every arrow that is not listed here is reported, as a value and as a type.

/** layer -> what it may import besides itself, as paths below src/. Everything may import `domain`. */
const MATRIX = {
  domain: [],
  // spawn-child takes the inherited part of the environment from the one place that reads it.
  platform: ['config'],
  config: ['platform'],
  engines: ['platform'],
  // The pipeline encrypts and the manifest is sealed.
  storage: ['platform', 'keys'],
  keys: ['platform'],
  catalog: ['platform'],
  notify: ['platform'],
  // It reads and writes artifacts with the backup's key in hand.
  recovery: ['platform', 'engines', 'storage', 'keys'],
  workflows: [],
  // The names of workflows and the types of the activities they call are the contract between the two sides.
  activities: ['platform', 'engines', 'storage', 'recovery', 'catalog', 'keys', 'notify', 'workflows/contract'],
  usecases: ['platform', 'catalog', 'keys', 'storage', 'workflows/contract'],
  api: ['platform', 'config', 'usecases'],
  workers: ['platform', 'config', 'activities', 'workflows', 'catalog', 'keys'],
  // The names of the search attributes that it registers.
  embedded: ['platform', 'config', 'workflows/contract'],
  cli: ['platform', 'config'],
};

/** Files of src/workflows that other layers may know; they hold names, messages and types, no workflow. */
const WORKFLOW_CONTRACT = 'src/workflows/(names|messages|activity-types)\\.ts$';

/** The commands that start the service, and those that read a destination without it, reach further than the rest of src/cli. */
const COMMANDS = {
  'up|serve|worker|start-[a-z-]+': ['api', 'workers', 'embedded', 'usecases', 'catalog', 'keys'],
  'admin|keys|open-session': ['catalog', 'keys', 'usecases', 'embedded'],
  'doctor|doctor-[a-z]+': ['usecases', 'workflows/contract'],
  'extract|extract-[a-z-]+': ['storage', 'keys', 'engines', 'recovery'],
  // It ends in a catalog.
  import: ['storage', 'keys', 'engines', 'recovery', 'usecases'],
};

const layerPath = (layer) => {
  if (layer === 'config') return '^src/config[a-z-]*\\.ts$';
  return layer === 'workflows/contract' ? WORKFLOW_CONTRACT : `^src/${layer}/`;
};
const only = (name, from, layers) => ({
  name,
  severity: 'error',
  comment: `may import ${['domain', ...layers].join(', ')}`,
  from,
  to: { path: '^src/', pathNot: ['domain', ...layers].map(layerPath) },
});

const commandFiles = Object.keys(COMMANDS).map((files) => `^src/cli/(${files})\\.ts$`);
const arrows = [
  ...Object.entries(MATRIX).map(([layer, allowed]) =>
    only(
      `${layer}-imports`,
      layer === 'cli' ? { path: layerPath(layer), pathNot: commandFiles } : { path: layerPath(layer) },
      [...allowed, layer],
    ),
  ),
  ...Object.entries(COMMANDS).map(([files, allowed]) =>
    only(`cli-${files.split('|')[0]}-imports`, { path: `^src/cli/(${files})\\.ts$` }, [
      ...MATRIX.cli,
      ...allowed,
      'cli',
    ]),
  ),
];

const npm = (names) => `(^|node_modules/)(${names})(/|$)`;
const libraries = [
  {
    name: 'workflows-are-deterministic',
    comment: 'the sandbox has no Node, and a library may hide a clock or a random number',
    from: { path: '^src/workflows/' },
    to: { pathNot: ['^src/', npm('@temporalio/workflow|@temporalio/common')] },
  },
  {
    name: 'domain-is-pure',
    comment: 'no file, socket or clock of the host: schemas, ids and arithmetic only',
    from: { path: '^src/domain/' },
    to: { pathNot: ['^src/', npm('zod|nanoid|croner|ipaddr\\.js')] },
  },
  {
    name: 'temporal-stays-outside',
    from: { path: '^src/(engines|storage|recovery|keys|catalog|notify|platform|domain)/' },
    to: { path: npm('@temporalio/[^/]+') },
  },
  {
    name: 'express-only-in-api',
    from: { path: '^src/', pathNot: '^src/(api|embedded)/' },
    to: { path: npm('express|express-rate-limit|cookie') },
  },
  {
    name: 'prisma-only-in-catalog',
    from: { path: '^src/', pathNot: '^src/catalog/' },
    to: { path: `${npm('@prisma/[^/]+|prisma')}|^src/catalog/generated/` },
  },
  {
    name: 'children-only-through-spawn-child',
    comment: 'spawnChild gives an allow-listed environment and death with the parent',
    from: { path: '^src/', pathNot: '^src/platform/' },
    to: { path: '^(node:)?child_process$' },
  },
  {
    name: 'no-development-packages',
    comment: 'the image is built without them',
    from: { path: '^src/' },
    to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'no-undeclared-packages',
    comment: 'a package that is there only because another one needs it goes when that one does',
    from: { path: '^src/' },
    to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'] },
  },
  {
    name: 'nothing-from-development',
    comment: 'the image has no development packages, and src/ is built without these folders',
    from: { path: '^src/' },
    to: { path: '^(test|scripts|bench)/' },
  },
].map((rule) => ({ severity: 'error', ...rule }));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [...arrows, ...libraries],
  options: {
    // Type imports count: a type of another layer ties the two as well.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: `${__dirname}/tsconfig.json` },
    doNotFollow: { path: ['node_modules', '^src/catalog/generated/'] },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.json', '.node'] },
  },
};
