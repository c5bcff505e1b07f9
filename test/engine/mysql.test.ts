import { describeEngineContract, markerTable } from './contract.js';
import { familyAccounts } from './mysql-family-sample.js';
import { mysqlChanges, mysqlSample } from './mysql-sample.js';

describeEngineContract({
  product: 'mysql',
  sample: mysqlSample,
  prepareServer: familyAccounts,
  changes: mysqlChanges,
  otherLocale: 'CHARACTER SET latin1 COLLATE latin1_german1_ci',
  otherLocaleSample: [
    `SET NAMES utf8mb4; CREATE TABLE words (a varchar(20) PRIMARY KEY); INSERT INTO words VALUES ('Müller'), ('Äpfel'), ('');
     CREATE TABLE \`tåble\` (\`cölumn\` text); CREATE FUNCTION f() RETURNS varchar(10) DETERMINISTIC RETURN 'ÿ';`,
  ],
  tables: markerTable,
});
