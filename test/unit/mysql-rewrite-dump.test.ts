import { describe, expect, it } from 'vitest';
import { DumpRewriter } from '../../src/engines/mysql-family/rewrite-dump.js';

function rewrite(text: string, piece: number): string {
  const bytes = Buffer.from(text);
  const rewriter = new DumpRewriter();
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += piece) out.push(...rewriter.push(bytes.subarray(at, at + piece)));
  return Buffer.concat([...out, ...rewriter.flush()]).toString();
}

const rows = (bytes: number) => 'INSERT INTO `t` VALUES (1);\n'.repeat(Math.ceil(bytes / 28)).slice(0, bytes);
const alter = 'ALTER DATABASE `live` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;\n';
const altered = alter.replace('`live` ', '');
const trigger =
  '/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER tg BEFORE INSERT ON t FOR EACH ROW SET @a = 1; */;;\n';
const mended = trigger.replace('; */;;', ' */;;');
const event =
  '/*!50106 CREATE*/ /*!50117 DEFINER=`root`@`%`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE ENABLE DO SET @a = 1; */ ;;\n';
const mendedEvent = event.replace('; */ ;;', ' */ ;;');

describe('the rewriter of a dump', () => {
  it('passes on every byte of a dump of any length', () => {
    for (let length = 0; length < 9_000; length++) {
      const text = rows(length);
      if (rewrite(text, 2 ** 20) !== text) throw new Error(`a dump of ${length} bytes is not passed on as it is`);
    }
  });

  it('passes on every byte whatever pieces the dump comes in', () => {
    const text = rows(50_000);
    for (const piece of [50, 100, 255, 256, 4096, 8191, 8192, 8193, 8300, 8447, 8448, 8449, 16_384, 49_999]) {
      expect(rewrite(text, piece) === text, `pieces of ${piece}`).toBe(true);
    }
  });

  it('finds what it must rewrite wherever it lies between two pieces', () => {
    for (const piece of [100, 4096, 8200, 8300, 8448, 12_000, 2 ** 20]) {
      for (let before = 0; before < 9_000; before += 37) {
        const lead = before === 0 ? '' : `${rows(before)}\n`;
        const end = rows(400);
        const text = `${lead}${alter}${trigger}${event}${end}`;
        expect(
          rewrite(text, piece) === `${lead}${altered}${mended}${mendedEvent}${end}`,
          `${before} before, pieces of ${piece}`,
        ).toBe(true);
      }
    }
  });
});
