import mysql from 'mysql2/promise';
import type { DemoTable } from './geonames.js';
import { inBatches } from './geonames.js';

const schema = [
  'create table continents (code char(2) primary key, name varchar(100) not null)',
  `create table countries (code char(2) primary key, name varchar(200) not null, native_name varchar(200) not null,
    continent char(2) not null, capital varchar(200), foreign key (continent) references continents (code))`,
  `create table country_languages (country char(2) not null, language varchar(8) not null, position int not null,
    primary key (country, language), foreign key (country) references countries (code) on delete cascade)`,
  `create table regions (code varchar(32) primary key, country char(2) not null, name varchar(200) not null,
    foreign key (country) references countries (code))`,
  `create table districts (code varchar(64) primary key, region varchar(32) not null, name varchar(200) not null,
    foreign key (region) references regions (code))`,
  `create table places (id bigint unsigned primary key auto_increment, name varchar(200) not null,
    latitude decimal(8,5) not null, longitude decimal(8,5) not null, country char(2) not null,
    region varchar(32), district varchar(64),
    hemisphere varchar(5) generated always as (case when latitude < 0 then 'south' else 'north' end) stored,
    foreign key (country) references countries (code), foreign key (region) references regions (code),
    foreign key (district) references districts (code))`,
  `create table place_changes (id bigint unsigned primary key auto_increment, place bigint unsigned not null,
    old_name varchar(200), new_name varchar(200), changed_at timestamp(6) not null default current_timestamp(6))`,
];

const finish = [
  'create index places_country_name on places (country, name)',
  `create view places_per_country as
    select c.code, c.name, count(p.id) as places from countries c left join places p on p.country = c.code group by c.code, c.name`,
  `create function distance_km(a bigint unsigned, b bigint unsigned) returns double reads sql data
    return (select 6371 * acos(least(1, sin(radians(x.latitude)) * sin(radians(y.latitude))
      + cos(radians(x.latitude)) * cos(radians(y.latitude)) * cos(radians(x.longitude - y.longitude))))
      from places x, places y where x.id = a and y.id = b)`,
  'create procedure rename_place(in which bigint unsigned, in new_name varchar(200)) update places set name = new_name where id = which',
  `create trigger place_renamed after update on places for each row
    begin if not (old.name <=> new.name) then
      insert into place_changes (place, old_name, new_name) values (old.id, old.name, new.name); end if; end`,
  `create event forget_old_changes on schedule every 1 day do delete from place_changes where changed_at < now() - interval 90 day`,
  "call rename_place(1, 'Vila (renamed by the demo)')",
];

/** Creates the gazetteer in an empty MySQL or MariaDB database. */
export async function loadMysql(connection: mysql.ConnectionOptions, tables: readonly DemoTable[]): Promise<void> {
  const client = await mysql.createConnection({ ...connection, charset: 'utf8mb4' });
  try {
    for (const statement of schema) await client.query(statement);
    for (const table of tables) {
      const list = table.columns.map((name) => `\`${name}\``).join(', ');
      for (const rows of inBatches(table.rows, 5000)) {
        await client.query(`insert into \`${table.name}\` (${list}) values ?`, [rows]);
      }
    }
    for (const statement of finish) await client.query(statement);
  } finally {
    await client.end();
  }
}
