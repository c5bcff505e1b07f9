import type { SampleChange } from './contract.js';
import { familyChanges, familyLatin1, familyPrograms, familyTables, familyTypes } from './mysql-family-sample.js';

/** What only MySQL has. */
const mysqlOnly = `
SET NAMES utf8mb4;
CREATE TABLE mysql_types (
  id int PRIMARY KEY, embedding vector(3), wide vector(4), place point SRID 4326, merc point SRID 3857 NOT NULL, doc json,
  tags json DEFAULT (JSON_ARRAY()), area multipolygon, spots multipoint, ways multilinestring,
  number int GENERATED ALWAYS AS (JSON_EXTRACT(doc, '$.n')) VIRTUAL, UNIQUE KEY (number), KEY multi ((CAST(doc->'$.list' AS UNSIGNED ARRAY))),
  KEY functional ((id * 2)), KEY unseen (number) INVISIBLE, SPATIAL KEY (merc)
);
INSERT INTO mysql_types (id, embedding, wide, place, merc, doc, area, spots, ways) VALUES
  (1, STRING_TO_VECTOR('[1,2.5,-3e-10]'), NULL, ST_GeomFromText('POINT(52.5 13.4)', 4326), ST_GeomFromText('POINT(1 2)', 3857), '{"n": 1, "list": [1, 2, 3]}',
    ST_GeomFromText('MULTIPOLYGON(((0 0, 1 0, 1 1, 0 0)))'), ST_GeomFromText('MULTIPOINT(1 1, 2 2)'), ST_GeomFromText('MULTILINESTRING((0 0, 1 1))')),
  (2, NULL, STRING_TO_VECTOR('[0,0,0,1]'), NULL, ST_GeomFromText('POINT(0 0)', 3857), NULL, NULL, NULL, NULL);
CREATE TABLE unenforced (a int, CONSTRAINT later CHECK (a > 0) NOT ENFORCED) COMPRESSION = 'NONE';
INSERT INTO unenforced VALUES (-1);
CREATE TABLE collations (a varchar(20) COLLATE utf8mb4_0900_as_cs, b varchar(20) COLLATE utf8mb4_ja_0900_as_cs, c varchar(20) CHARACTER SET gb18030);
INSERT INTO collations VALUES ('a', 'あ', '汉');
`;

export const mysqlSample = [familyTypes, familyTables, mysqlOnly, familyPrograms, familyLatin1];

export const mysqlChanges: readonly SampleChange[] = [
  ...familyChanges,
  {
    name: 'a vector',
    sql: "UPDATE mysql_types SET embedding = STRING_TO_VECTOR('[1,2.5,-3.0000002e-10]') WHERE id = 1",
  },
  { name: 'the axis order of a place', sql: 'UPDATE mysql_types SET place = ST_SwapXY(place) WHERE id = 1' },
  { name: 'an enforced check', sql: 'DELETE FROM unenforced; ALTER TABLE unenforced ALTER CHECK later ENFORCED' },
  { name: 'a visible index', sql: 'ALTER TABLE mysql_types ALTER INDEX unseen VISIBLE' },
];
