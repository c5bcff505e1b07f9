# Tidemark for production: one image, three commands (`serve`, `worker`, `extract`). See docker-compose.yml.

FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# The Prisma CLI would fetch an engine that is not used: migrations run on its WebAssembly build.
ENV PRISMA_SCHEMA_ENGINE_BINARY=/bin/true
RUN npm ci --include=dev --ignore-scripts=false
COPY . .
RUN npm run generate && npm run build
# What runs: no development packages, and the base image's Node instead of the packaged one.
RUN npm prune --omit=dev --ignore-scripts && rm -rf node_modules/node node_modules/.bin/node

# The client programs of every engine, each in a private root, so that a dump is made by the tool of its server's version.
FROM node:24-bookworm-slim AS engines
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY scripts/install-engines.sh /scripts/
COPY scripts/lib/private-apt.sh /scripts/lib/
RUN /scripts/install-engines.sh --prefix /opt/tidemark/engines

FROM node:24-bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates tzdata zstd && rm -rf /var/lib/apt/lists/* \
  && useradd --system --uid 10001 --create-home --home-dir /var/lib/tidemark tidemark
# Paths are baked into the engine programs: the same place as in the stage that built them.
COPY --from=engines /opt/tidemark/engines /opt/tidemark/engines
WORKDIR /app
COPY --from=build /src/package.json ./
COPY --from=build /src/node_modules ./node_modules
COPY --from=build /src/prisma ./prisma
COPY --from=build /src/dist ./dist
ENV NODE_ENV=production TIDEMARK_HOME=/var/lib/tidemark TIDEMARK_ENGINES=/opt/tidemark/engines TIDEMARK_BIND=0.0.0.0 PORT=7400
USER tidemark
EXPOSE 7400
# A container that runs a worker is kept small by flags of Node and MALLOC_ARENA_MAX=2: docker-compose.yml has them.
# Node is process 1 itself: a shell or npm in between would swallow SIGTERM, and a stop would lose the worker's grace.
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["serve"]
