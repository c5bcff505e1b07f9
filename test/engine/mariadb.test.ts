import { describeEngineContract, markerTable } from './contract.js';
import { mariadbChanges, mariadbSample } from './mariadb-sample.js';
import { familyAccounts } from './mysql-family-sample.js';

for (const [product, major] of [
  ['mariadb', '11.8'],
  ['mariadb1011', '10.11'],
] as const) {
  describeEngineContract({
    product,
    sample: mariadbSample(major),
    prepareServer: familyAccounts,
    changes: mariadbChanges,
    otherLocale: "CHARACTER SET latin1 COLLATE latin1_german1_ci COMMENT 'it''s'",
    otherLocaleSample: [
      `SET NAMES utf8mb4; CREATE TABLE words (a varchar(20) PRIMARY KEY); INSERT INTO words VALUES ('Müller'), ('Äpfel'), ('');
       CREATE TABLE \`tåble\` (\`cölumn\` text); CREATE FUNCTION f() RETURNS varchar(10) DETERMINISTIC RETURN 'ÿ';`,
    ],
    tables: markerTable,
  });
}
