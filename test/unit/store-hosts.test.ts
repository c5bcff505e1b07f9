import { expect, it } from 'vitest';
import { storeHosts } from '../../src/domain/store-hosts.js';

const place = {
  endpoint: 'https://store.example:9000',
  region: 'eu-central-1',
  bucket: 'backups',
  forcePathStyle: true,
};

it('is the endpoint when the path carries the bucket', () => {
  expect(storeHosts(place)).toEqual(['store.example']);
});

it('is also the name that bucket and endpoint make together, unless the endpoint is an address', () => {
  expect(storeHosts({ ...place, forcePathStyle: false })).toEqual(['store.example', 'backups.store.example']);
  expect(storeHosts({ ...place, endpoint: 'http://127.0.0.1:9000', forcePathStyle: false })).toEqual(['127.0.0.1']);
});

it('is AWS in the region when there is no endpoint', () => {
  expect(storeHosts({ ...place, endpoint: null })).toEqual(['s3.eu-central-1.amazonaws.com']);
  expect(storeHosts({ ...place, endpoint: null, region: 'cn-north-1' })).toEqual(['s3.cn-north-1.amazonaws.com.cn']);
});
