/** What MySQL and MariaDB have in common of the sample: every type, every kind of object, odd names, other character sets. */
import type { SampleChange } from './contract.js';

export const familyAccounts = [
  "CREATE USER IF NOT EXISTS 'tm_app'@'%' IDENTIFIED BY 'Tm_app-1'",
  "CREATE USER IF NOT EXISTS 'tm odd `user'@'localhost' IDENTIFIED BY 'Tm_odd-1'",
];

const bytes = (from: number, to: number) =>
  `0x${Array.from({ length: to - from + 1 }, (_, index) => (from + index).toString(16).padStart(2, '0')).join('')}`;

export const familyTypes = `
SET NAMES utf8mb4;
SET SESSION time_zone = '+09:00', SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE every_type (
  id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  c_tinyint tinyint, c_zerofill int(7) unsigned zerofill, c_smallint smallint, c_mediumint mediumint, c_int int unsigned, c_bigint bigint,
  c_bigint_u bigint unsigned, c_decimal decimal(65,30), c_numeric numeric(5,0), c_double double, c_float float, c_float_max float unsigned, c_real double(20,5),
  c_bit bit(1), c_bits bit(64), c_bool boolean,
  c_char char(10), c_varchar varchar(255), c_long varchar(9000), c_latin1 varchar(50) CHARACTER SET latin1, c_sjis varchar(50) CHARACTER SET sjis,
  c_utf16 varchar(50) CHARACTER SET utf16, c_bin_collation varchar(50) COLLATE utf8mb4_bin, c_cp1251 varchar(20) CHARACTER SET cp1251,
  c_binary binary(8), c_varbinary varbinary(300), c_tinyblob tinyblob, c_blob blob, c_mediumblob mediumblob, c_longblob longblob,
  c_tinytext tinytext, c_text text, c_mediumtext mediumtext, c_longtext longtext CHARACTER SET latin1,
  c_enum enum('a', 'b,c', 'd''e', 'f\\\\g', 'ü', '漢') , c_set set('x', 'y z', 'ä', '''q'''),
  c_date date, c_time time(6), c_datetime datetime(6), c_timestamp timestamp(6) NULL, c_year year,
  c_json json, c_geometry geometry, c_line linestring, c_polygon polygon, c_collection geometrycollection
);
INSERT INTO every_type (id, c_zerofill) VALUES (0, 42);
INSERT INTO every_type (id) VALUES (1);
INSERT INTO every_type VALUES (7, -128, 7, -32768, -8388608, 4294967295, -9223372036854775808, 18446744073709551615,
  -12345678901234567890123456789012345.123456789012345678901234567890, 99999, 1.7976931348623157e308, 16777216, 3.4028234663852886e38, 123456.78901,
  b'1', b'1000000000000000000000000000000000000000000000000000000000000001', true,
  ' lead', 'trail  ', REPEAT('é漢😀', 2000), 'àéîõü', '漢字カナ', '漢😀', 'A', 'Привет',
  0x0001ff0a0d1a2700, ${bytes(0, 255)}, 0x00, ${bytes(0, 255)}, REPEAT(0x005c27, 70000), 0xfffe,
  'tiny', 'quote '' double " backslash \\\\ percent % newline \\n return \\r tab \\t ctrl-z \\Z', REPEAT('😀', 20000), 'latin ÿ',
  'd''e', 'x,ä', '2024-02-29', '-838:59:59.000000', '9999-12-31 23:59:59.999999', '2001-09-09 10:46:40.123456', 1901,
  '{"a": [1, 2.5, null, true, "x\\\\"y"], "big": 12345678901234567890, "ü": {}}',
  ST_GeomFromText('POINT(1.5 -2.25)'), ST_GeomFromText('LINESTRING(0 0, 1 1, 2 0.1)'),
  ST_GeomFromText('POLYGON((0 0, 4 0, 4 4, 0 4, 0 0), (1 1, 2 1, 2 2, 1 1))'),
  ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1), LINESTRING(0 0, 1 1))'));
INSERT INTO every_type (id, c_char, c_varchar, c_binary, c_varbinary, c_blob, c_text, c_enum, c_set, c_date, c_datetime, c_timestamp, c_year, c_double, c_bits) VALUES
  (8, '', '', '', '', '', '', 'a', '', '0000-00-00', '0000-00-00 00:00:00', '1970-01-01 09:00:01', 0, 5e-324, b'0'),
  (9, 'N', 'NULL', 0x00, 0x0000, 0x0000, '\\0', 'ü', 'y z', '2024-00-00', '2024-01-00 00:00:00', NULL, 2155, 0.1, NULL);
ALTER TABLE every_type AUTO_INCREMENT = 5000;
CREATE TABLE no_key (a varchar(10), b int);
INSERT INTO no_key VALUES ('a', NULL), ('a', NULL), (NULL, NULL), ('', 0), (NULL, 0), ('1', 1), ('11', NULL);
CREATE TABLE empty_table (id int AUTO_INCREMENT PRIMARY KEY, b varchar(20) NOT NULL DEFAULT 'x''y' COMMENT 'it''s a "comment" \\\\ AUTO_INCREMENT=7') COMMENT = 'ENGINE=InnoDB AUTO_INCREMENT=9';
CREATE TABLE many (id int PRIMARY KEY, t varchar(40), KEY (t), KEY prefixed (t(5)), KEY falling (id DESC, t)) ROW_FORMAT = COMPACT;
INSERT INTO many SELECT d1.n + d2.n * 10 + d3.n * 100 + d4.n * 1000, CONCAT('row ', d1.n, d2.n, d3.n, d4.n) FROM
  (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) d1,
  (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) d2,
  (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) d3,
  (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) d4;
`;

export const familyTables = `
SET NAMES utf8mb4;
CREATE TABLE parents (id int PRIMARY KEY, name varchar(50) UNIQUE);
INSERT INTO parents VALUES (1, 'one'), (2, 'two');
CREATE TABLE \`order\` (
  id int AUTO_INCREMENT PRIMARY KEY, parent int NOT NULL, amount decimal(10,2) NOT NULL DEFAULT 1.50,
  doubled decimal(12,2) GENERATED ALWAYS AS (amount * 2) STORED, tripled decimal(12,2) GENERATED ALWAYS AS (amount * 3) VIRTUAL,
  hidden int INVISIBLE DEFAULT 3, changed timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  token varchar(36) DEFAULT (CONCAT('t', 1 + 1)), body text, place point NOT NULL,
  CONSTRAINT \`odd fk\` FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE RESTRICT ON UPDATE CASCADE,
  CONSTRAINT amount_positive CHECK (amount > 0), FULLTEXT KEY ft (body), SPATIAL KEY sp (place), KEY on_generated (doubled)
);
INSERT INTO \`order\` (parent, amount, body, place, changed) VALUES (1, 5, 'a searchable text', ST_GeomFromText('POINT(1 2)'), '2020-02-02 02:02:02'),
  (2, 7.25, NULL, ST_GeomFromText('POINT(3 4)'), '2021-01-01 00:00:00');
INSERT INTO \`order\` (id, parent, amount, hidden, place, changed) VALUES (20, 2, 0.01, 77, ST_GeomFromText('POINT(5 6)'), '2022-01-01 00:00:00');
CREATE TABLE \`odd "tab\`\`le" 'ü' 漢 no\` (\`a column\` int PRIMARY KEY, \`se\`\`lect\` varchar(10), \`%d?\` int, \`"q"\` int, KEY \`odd key\` (\`se\`\`lect\`)) ;
INSERT INTO \`odd "tab\`\`le" 'ü' 漢 no\` VALUES (1, 'x', 2, 3);
CREATE TABLE measures (at date NOT NULL, v int) PARTITION BY RANGE COLUMNS (at) (PARTITION old VALUES LESS THAN ('2020-01-01'), PARTITION \`now\` VALUES LESS THAN (MAXVALUE));
INSERT INTO measures VALUES ('2019-05-05', 1), ('2024-05-05', 2);
CREATE TABLE hashed (a int, b int, PRIMARY KEY (a, b)) PARTITION BY KEY (b) PARTITIONS 3;
INSERT INTO hashed VALUES (1, 2), (3, 4), (5, 6);
CREATE TABLE log (id int AUTO_INCREMENT PRIMARY KEY, what varchar(200));
CREATE TABLE latin (a varchar(20), b text) DEFAULT CHARSET = latin1 COLLATE = latin1_german1_ci;
INSERT INTO latin VALUES ('Müller', 'ÿ'), ('MULLER', '');
CREATE TABLE tree (id int PRIMARY KEY, up int, FOREIGN KEY (up) REFERENCES tree (id));
INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2);
`;

export const familyPrograms = `
SET NAMES utf8mb4;
CREATE FUNCTION plus_one(a int) RETURNS int DETERMINISTIC COMMENT 'adds "one"' RETURN a + 1;
SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT';
CREATE PROCEDURE "odd proc ü"(IN a int, OUT b varchar(20), INOUT c text CHARACTER SET latin1) MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
  -- a comment with ; and ' and 漢
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SET b = 'x' || a; END;
  INSERT INTO "log" (what) VALUES ('called; it''s' || a);
  IF a > 1 THEN SET b = 'big'; ELSE SET b = "c"; END IF;
END;
SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES';
CREATE FUNCTION backslash() RETURNS varchar(10) CHARACTER SET latin1 NO SQL RETURN 'a\\';
SET SESSION sql_mode = DEFAULT;
CREATE VIEW newest AS SELECT id, amount, plus_one(parent) AS next_parent FROM \`order\` WHERE amount > 1 WITH LOCAL CHECK OPTION;
CREATE SQL SECURITY INVOKER VIEW \`a view of 'views'\` AS SELECT n.id, p.name, 'ü' AS u FROM newest n JOIN parents p ON p.id = n.id;
CREATE ALGORITHM = TEMPTABLE VIEW aggregate AS SELECT COUNT(*) AS \`how many\`, SUM(amount) AS total FROM newest;
CREATE DEFINER = 'tm_app'@'%' VIEW apps_view AS SELECT 1 AS one;
CREATE TRIGGER order_in BEFORE INSERT ON \`order\` FOR EACH ROW SET NEW.body = CONCAT(COALESCE(NEW.body, ''), '!');
CREATE TRIGGER order_in_2 BEFORE INSERT ON \`order\` FOR EACH ROW FOLLOWS order_in
BEGIN
  INSERT INTO log (what) VALUES (CONCAT('inserting; ', 'ü'));
END;
CREATE TRIGGER order_first BEFORE INSERT ON \`order\` FOR EACH ROW PRECEDES order_in SET NEW.amount = NEW.amount;
CREATE DEFINER = 'tm odd \`user'@'localhost' TRIGGER \`odd \`\`trigger\` AFTER DELETE ON parents FOR EACH ROW INSERT INTO log (what) VALUES ('gone');
CREATE EVENT every_second ON SCHEDULE EVERY 1 SECOND STARTS '2036-01-01 00:00:00' ON COMPLETION PRESERVE ENABLE COMMENT 'DISABLE DO' DO
BEGIN
  INSERT INTO log (what) VALUES ('event; fired');
END;
SET SESSION time_zone = '+05:30';
CREATE EVENT \`odd event 'DO'\` ON SCHEDULE EVERY '1:30' HOUR_MINUTE STARTS '2020-01-01 00:00:00' ENDS '2038-01-01 00:00:00' ON COMPLETION NOT PRESERVE DISABLE DO DELETE FROM log;
CREATE DEFINER = 'tm_app'@'%' EVENT later ON SCHEDULE AT '2037-12-31 00:00:00' ON COMPLETION PRESERVE DO SET @a = ' ON COMPLETION PRESERVE ENABLE DO ';
`;

/** The text of a routine whose client spoke latin1: the driver sends it in that character set. */
export const familyLatin1 = `
SET NAMES latin1;
CREATE FUNCTION in_latin1() RETURNS varchar(20) CHARACTER SET utf8mb4 DETERMINISTIC RETURN 'plain';
CREATE TRIGGER latin1_trigger BEFORE INSERT ON latin FOR EACH ROW SET NEW.b = 'x';
`;

export const familyGrants = (database: string) => [
  `GRANT SELECT, INSERT ON \`${database}\`.* TO 'tm_app'@'%' WITH GRANT OPTION`,
];

/** Changes that a comparison must find, in staging. */
export const familyChanges: readonly SampleChange[] = [
  {
    name: 'one byte of a row',
    sql: 'UPDATE every_type SET c_varbinary = CONCAT(SUBSTR(c_varbinary, 1, 255), 0xfe) WHERE id = 7',
  },
  { name: 'a trailing space', sql: "UPDATE every_type SET c_varchar = 'trail ' WHERE id = 7" },
  { name: 'letter case under a folding collation', sql: "UPDATE latin SET a = 'muller' WHERE b = ''" },
  { name: 'NULL to empty', sql: "UPDATE no_key SET a = '' WHERE a IS NULL AND b = 0" },
  { name: 'empty to NULL', sql: 'UPDATE every_type SET c_set = NULL WHERE id = 8' },
  { name: 'a value moved to the next column', sql: "UPDATE no_key SET a = '1', b = 11 WHERE a = '11'" },
  { name: 'a microsecond', sql: 'UPDATE every_type SET c_datetime = c_datetime - INTERVAL 1 MICROSECOND WHERE id = 7' },
  { name: 'the last bit of a double', sql: 'UPDATE every_type SET c_double = 0.10000000000000002 WHERE id = 9' },
  { name: 'a float', sql: 'UPDATE every_type SET c_float = 16777217.5e0 + 1 WHERE id = 7' },
  { name: 'a bit', sql: "UPDATE every_type SET c_bits = b'1' WHERE id = 8" },
  { name: 'an enum of no label', sql: "SET sql_mode = ''; UPDATE every_type SET c_enum = 'nonsense' WHERE id = 8" },
  {
    name: 'a key order inside json is not content, a value is',
    sql: "UPDATE every_type SET c_json = JSON_SET(c_json, '$.a[0]', 9) WHERE id = 7",
  },
  { name: 'an SRID', sql: "UPDATE every_type SET c_geometry = ST_GeomFromText('POINT(1.5 -2.25)', 3857) WHERE id = 7" },
  { name: 'a hidden column', sql: 'UPDATE `order` SET hidden = 78, changed = changed WHERE id = 20' },
  { name: 'one of two equal rows', sql: "DELETE FROM no_key WHERE a = 'a' LIMIT 1" },
  {
    name: 'a byte of a megabyte',
    sql: "UPDATE every_type SET c_mediumtext = INSERT(c_mediumtext, 10000, 1, 'a') WHERE id = 7",
  },
  { name: 'an auto-increment value', sql: 'ALTER TABLE every_type AUTO_INCREMENT = 5001' },
  { name: 'a default', sql: "ALTER TABLE empty_table ALTER COLUMN b SET DEFAULT 'z'" },
  { name: 'a comment', sql: "ALTER TABLE empty_table COMMENT = 'ENGINE=InnoDB AUTO_INCREMENT=8'" },
  { name: 'a dropped index', sql: 'ALTER TABLE many DROP KEY prefixed' },
  { name: 'a dropped check', sql: 'ALTER TABLE `order` DROP CONSTRAINT amount_positive' },
  { name: 'a dropped foreign key', sql: 'ALTER TABLE `order` DROP FOREIGN KEY `odd fk`' },
  {
    name: 'a column character set',
    sql: 'ALTER TABLE latin MODIFY a varchar(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci',
  },
  {
    name: 'the text of a view',
    sql: "CREATE OR REPLACE SQL SECURITY INVOKER VIEW `a view of 'views'` AS SELECT 1 AS id, 'x' AS name, 'ü' AS u",
  },
  {
    name: 'the security of a view',
    sql: 'ALTER SQL SECURITY DEFINER VIEW aggregate AS SELECT COUNT(*) AS `how many`, SUM(amount) AS total FROM newest',
  },
  {
    name: 'the definer of a view',
    sql: "ALTER DEFINER = 'tm odd `user'@'localhost' VIEW apps_view AS SELECT 1 AS one",
  },
  {
    name: 'the body of a function',
    sql: 'DROP FUNCTION backslash; CREATE FUNCTION backslash() RETURNS varchar(10) CHARACTER SET latin1 NO SQL RETURN 1',
  },
  { name: 'the comment of a function', sql: "ALTER FUNCTION plus_one COMMENT 'adds 1'" },
  { name: 'a dropped trigger', sql: 'DROP TRIGGER order_in_2' },
  {
    name: 'the sql_mode of a trigger',
    sql: "SET sql_mode = ''; DROP TRIGGER `odd ``trigger`; CREATE DEFINER = 'tm odd `user'@'localhost' TRIGGER `odd ``trigger` AFTER DELETE ON parents FOR EACH ROW INSERT INTO log (what) VALUES ('gone')",
  },
  {
    name: 'the order of triggers',
    sql: 'DROP TRIGGER order_first; CREATE TRIGGER order_first BEFORE INSERT ON `order` FOR EACH ROW FOLLOWS order_in SET NEW.amount = NEW.amount',
  },
  { name: 'the schedule of an event', sql: "ALTER EVENT later ON SCHEDULE AT '2036-12-31 00:00:00'" },
  { name: 'the body of an event', sql: "ALTER EVENT `odd event 'DO'` DO DELETE FROM log WHERE id = 1" },
  { name: 'a dropped event', sql: 'DROP EVENT every_second' },
];
