import type { SampleChange } from './contract.js';
import { familyChanges, familyLatin1, familyPrograms, familyTables, familyTypes } from './mysql-family-sample.js';

/** What only MariaDB has. */
const mariadbOnly = `
SET NAMES utf8mb4;
CREATE SEQUENCE numbers START WITH 100 INCREMENT BY 5 CACHE 10;
SELECT NEXTVAL(numbers);
CREATE SEQUENCE \`odd seq\` START WITH -3 MINVALUE -100 MAXVALUE 7 CYCLE NOCACHE;
CREATE TABLE mariadb_types (
  id uuid DEFAULT UUID() PRIMARY KEY, six inet6, four inet4, packed text COMPRESSED, doc json, place point REF_SYSTEM_ID = 4326,
  number int GENERATED ALWAYS AS (JSON_VALUE(doc, '$.n')) PERSISTENT, KEY quiet (number) IGNORED
);
INSERT INTO mariadb_types (id, six, four, packed, doc, place) VALUES
  ('123e4567-e89b-12d3-a456-426655440000', '2001:db8::ff00:42:8329', '192.0.2.1', REPEAT('packed ', 1000), '{"n": 1,  "b": [1.0]}', ST_GeomFromText('POINT(52.5 13.4)', 4326)),
  ('00000000-0000-0000-0000-000000000000', '::', '0.0.0.0', '', NULL, NULL);
CREATE TABLE versioned (id int PRIMARY KEY, v varchar(10)) WITH SYSTEM VERSIONING;
INSERT INTO versioned VALUES (1, 'a'), (2, 'b');
UPDATE versioned SET v = 'c' WHERE id = 1;
DELETE FROM versioned WHERE id = 2;
CREATE TABLE periods (id int, from_day date, to_day date, PERIOD FOR validity (from_day, to_day), UNIQUE (id, validity WITHOUT OVERLAPS));
INSERT INTO periods VALUES (1, '2020-01-01', '2021-01-01'), (1, '2021-01-01', '2022-01-01');
`;

const mariadb118 = `
CREATE TABLE vectors (id int PRIMARY KEY, v vector(3) NOT NULL, VECTOR INDEX (v));
INSERT INTO vectors VALUES (1, VEC_FromText('[1,2.5,-3e-10]')), (2, VEC_FromText('[0,0,1]'));
`;

const packages = `
SET SESSION sql_mode = 'ORACLE';
CREATE PACKAGE tools AS
  FUNCTION twice(a INT) RETURN INT;
END;
CREATE PACKAGE BODY tools AS
  FUNCTION twice(a INT) RETURN INT AS BEGIN RETURN a * 2; END;
END;
`;

export const mariadbSample = (major: '10.11' | '11.8') => [
  familyTypes,
  familyTables,
  mariadbOnly,
  ...(major === '11.8' ? [mariadb118] : []),
  familyPrograms,
  packages,
  familyLatin1,
];

export const mariadbChanges: readonly SampleChange[] = [
  ...familyChanges,
  { name: 'a sequence value', sql: 'ALTER SEQUENCE numbers RESTART 300' },
  { name: 'a sequence increment', sql: 'ALTER SEQUENCE `odd seq` INCREMENT BY 2' },
  {
    name: 'a uuid',
    sql: "UPDATE mariadb_types SET id = '00000000-0000-0000-0000-000000000001' WHERE four = '0.0.0.0'",
  },
  { name: 'an address', sql: "UPDATE mariadb_types SET six = '::1' WHERE four = '0.0.0.0'" },
  { name: 'a row of the history', sql: 'DELETE HISTORY FROM versioned' },
  { name: 'a package', sql: "SET sql_mode = 'ORACLE'; DROP PACKAGE tools" },
];
