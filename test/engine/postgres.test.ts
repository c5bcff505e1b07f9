import { describeEngineContract, markerTable } from './contract.js';
import { postgresChanges, postgresSample, sampleRoles } from './postgres-sample.js';

for (const major of [15, 17, 18] as const) {
  describeEngineContract({
    product: `pg${major}`,
    sample: postgresSample(major),
    prepareServer: sampleRoles,
    changes: postgresChanges,
    otherLocale:
      major === 17
        ? "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C.UTF-8'"
        : major === 18
          ? "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'sv-SE' ICU_RULES '&V << w <<< W' LOCALE 'C.UTF-8'"
          : "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
    otherLocaleSample: [
      `CREATE TABLE words (a text PRIMARY KEY); INSERT INTO words VALUES ('ångström'), ('zebra'), ('Äpfel'), ('vw'), (''); CREATE INDEX ON words (upper(a));
       CREATE TABLE "tåble" ("cölumn" text CHECK ("cölumn" <> 'ü'));`,
    ],
    tables: markerTable,
  });
}
