import { defineConfig } from 'prisma/config';

// Only `prisma generate` uses this. Migrations are written and applied by our own scripts, because the CLI's migrate commands
// want a native engine that npm does not carry.
export default defineConfig({
  schema: 'prisma/schema.prisma',
});
