import { describe, expect, it } from 'vitest';
import { parseTriggerHead, plainTrigger } from '../../src/engines/mysql-family/trigger-text.js';

const definer = 'CREATE DEFINER=`root`@`127.0.0.1` ';

describe('the head of a trigger of MySQL or MariaDB', () => {
  it('is understood however it was typed, and can be put on a table of another name', () => {
    for (const [typed, table, moved] of [
      [
        'TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET @x = 1',
        'a',
        'TRIGGER t BEFORE INSERT ON `b``c` FOR EACH ROW SET @x = 1',
      ],
      [
        'TRIGGER `d` . t after delete\n ON  d  .  `x``y`\n for each row begin end',
        'x`y',
        'TRIGGER t after delete\n ON `b``c` for each row begin end',
      ],
      [
        'TRIGGER /* ON y */ t AFTER UPDATE ON -- ON z FOR EACH\n `a`/*f*/FOR EACH ROW SET @x = 1',
        'a',
        'TRIGGER /* ON y */ t AFTER UPDATE ON `b``c` FOR EACH ROW SET @x = 1',
      ],
      [
        'TRIGGER IF NOT EXISTS `before insert on x for` BEFORE INSERT ON é FOR EACH ROW SET @x = 1',
        'é',
        'TRIGGER IF NOT EXISTS `before insert on x for` BEFORE INSERT ON `b``c` FOR EACH ROW SET @x = 1',
      ],
    ] as const) {
      const head = parseTriggerHead(definer + typed);
      expect(head?.table).toBe(table);
      expect(head?.on('b`c')).toBe(definer + moved);
    }
  });

  it('is understood in the double quotes of ANSI_QUOTES', () => {
    const head = parseTriggerHead(
      'CREATE DEFINER="root"@"%" TRIGGER "t" BEFORE INSERT ON "a""b" FOR EACH ROW SET @x = 1',
    );
    expect(head?.table).toBe('a"b');
    expect(head?.on('c')).toBe('CREATE DEFINER="root"@"%" TRIGGER "t" BEFORE INSERT ON `c` FOR EACH ROW SET @x = 1');
  });

  it('reads alike before and after the server has renamed its table', () => {
    const typed = plainTrigger(`${definer}TRIGGER shop.t BEFORE INSERT ON shop.a FOR EACH ROW SET @x = 1`, 'a');
    const renamed = plainTrigger(`${definer}TRIGGER shop.t BEFORE INSERT ON \`a\` FOR EACH ROW SET @x = 1`, 'a');
    expect(typed).toBe(renamed);
  });

  it('takes the name of the table from the server where its text is garbled', () => {
    const text = plainTrigger(`${definer}TRIGGER t BEFORE INSERT ON \`tablÃ©\` FOR EACH ROW SET @x = 1`, 'tablé');
    expect(text).toBe(`${definer}TRIGGER t BEFORE INSERT ON \`tablé\` FOR EACH ROW SET @x = 1`);
  });

  it('stays as it is when it is not understood', () => {
    const odd = `${definer}TRIGGER t /*!50000 BEFORE */ INSERT ON a FOR EACH ROW SET @x = 1`;
    expect(parseTriggerHead(odd)).toBeNull();
    expect(plainTrigger(odd, 'a')).toBe(odd);
  });
});
