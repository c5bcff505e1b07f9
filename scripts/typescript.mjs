// Preloaded by the npm scripts: `node --import ./scripts/typescript.mjs file.ts` runs TypeScript, on the right Node or not at all.
//
// A preload, because a file that imports something Node 20 lacks would fail with a riddle before its own first line could say so.
if (Number(process.versions.node.split('.')[0]) < 24) {
  process.stderr.write(
    `Tidemark runs on Node 24 or later, this is ${process.version}; start it with \`npm run\`, which takes Node 24 from node_modules (npm run setup installs it).\n`,
  );
  process.exit(1);
}
await import('tsx');
