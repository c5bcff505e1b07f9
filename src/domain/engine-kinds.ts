/** The three engines Tidemark protects. */
export const engineKinds = ['postgresql', 'mysql', 'mariadb'] as const;
export type EngineKind = (typeof engineKinds)[number];

/** Majors that the test suite runs against real servers; any other version is labelled `unproven`. */
export const provenVersions: Record<EngineKind, readonly string[]> = {
  postgresql: ['15', '17', '18'],
  mysql: ['9.7'],
  mariadb: ['10.11', '11.8'],
};
