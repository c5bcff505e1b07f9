import { expect, it } from 'vitest';
import { contentText, countText, shutOutText } from '../../src/workflows/story.js';

it('counts are told as people write them', () => {
  expect(countText(1, 'table')).toBe('1 table');
  expect(countText(0, 'row')).toBe('0 rows');
  expect(countText('12345678901234567890', 'row')).toBe('12,345,678,901,234,567,890 rows');
  expect(contentText({ tables: 1, rows: '20000' })).toBe('20,000 rows in 1 table');
  expect(contentText({ tables: null, rows: null })).toBe('content not counted');
});

it('a short pause of a swap is not told as none', () => {
  expect(shutOutText(0.04)).toBe('less than 0.1 s');
  expect(shutOutText(1.26)).toBe('1.3 s');
});
