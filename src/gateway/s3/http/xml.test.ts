import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../base/bytes.ts';
import { S3Error } from './errors.ts';
import { element, fields, isXmlText, readXml, writeXml } from './xml.ts';

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
  return 'accepted';
}

const read = (text: string): string => codeOf(() => readXml(utf8(text), 'Root'));

test('any text that XML can carry survives writing and reading', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }).filter(isXmlText), (text) => {
      const again = readXml(utf8(writeXml(element('Root', [element('Key', text)]))), 'Root');
      expect(again.children[0]?.text).toBe(text);
    }),
  );
});

test.each(['\u0000', 'a\u0001', '\u001f', '\ufffe', '\uffff', '\ud800', 'a\udc00b'])(
  'text %j, which XML cannot carry, is refused and not dropped',
  (text) => {
    expect(codeOf(() => writeXml(element('Key', text)))).toBe('InvalidRequest');
  },
);

test('markup in text is escaped', () => {
  expect(writeXml(element('Error', [element('Key', '<a href="x">&\'\r\n')]))).toContain(
    '<Key>&lt;a href=&quot;x&quot;&gt;&amp;&apos;&#13;&#10;</Key>',
  );
});

describe('reading refuses', () => {
  test.each([
    ['nothing', ''],
    ['no markup', 'text'],
    ['an open element', '<Root>'],
    ['crossed elements', '<Root><a></Root></a>'],
    ['two roots', '<Root/><Root/>'],
    ['text behind the root', '<Root/>x'],
    ['another root', '<Toor/>'],
    ['a document type', '<!DOCTYPE Root><Root/>'],
    ['an entity declaration', '<!DOCTYPE Root [<!ENTITY a "b">]><Root>&a;</Root>'],
    ['an undefined entity', '<Root>&a;</Root>'],
    ['CDATA', '<Root><![CDATA[x]]></Root>'],
    ['a comment', '<Root><!-- x --></Root>'],
    ['an instruction inside', '<Root><?php x ?></Root>'],
    ['an attribute', '<Root a="b"/>'],
    ['mixed content', '<Root>a<b/></Root>'],
    ['a control character', '<Root>\u0001</Root>'],
    ['a deep nest', `<Root>${'<a>'.repeat(50_000)}`],
    ['a nest whose depth quotes hide', `<Root>${'<a b="/>">'.repeat(5_000)}`],
    ['endless quotes', '<a "'.repeat(100_000)],
  ])('%s', (_name, text) => {
    expect(read(text)).toBe('MalformedXML');
  });

  test('bytes that are not UTF-8', () => {
    expect(codeOf(() => readXml(new Uint8Array([0x3c, 0xff, 0x3e]), 'Root'))).toBe('MalformedXML');
  });

  test('more elements than any request of ours has', () => {
    expect(read(`<Root>${'<a/>'.repeat(200_000)}</Root>`)).toBe('MalformedXML');
  });
});

test('reading accepts the declaration, the namespace and blanks between elements', () => {
  const text = `<?xml version="1.0" encoding="UTF-8"?>\n<Root xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n  <a>1</a>\n</Root>\n`;
  expect(readXml(utf8(text), 'Root').children).toEqual([{ name: 'a', text: '1', children: [] }]);
});

test('no bytes at all make the reader do anything but read or refuse', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(['accepted', 'MalformedXML']).toContain(codeOf(() => readXml(bytes, 'Root')));
    }),
  );
});

test('an element not known is a feature not built, one given twice is malformed', () => {
  const root = readXml(utf8('<Root><a/><b/><b/></Root>'), 'Root');
  expect(codeOf(() => fields(root, ['a', 'b']))).toBe('MalformedXML');
  expect(codeOf(() => fields(root, ['b']))).toBe('NotImplemented');
});
