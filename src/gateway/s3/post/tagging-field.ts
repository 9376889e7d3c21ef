/** The field `tagging` of a form, an XML document, as the header of the same meaning. */
import { utf8 } from '../../../base/bytes.ts';
import { S3Error } from '../http/errors.ts';
import { bytesOfText } from '../http/headers.ts';
import { uriEncode } from '../http/uri.ts';
import { fields, readXml, requiredText } from '../http/xml.ts';

/** Value of x-amz-tagging. Throws S3Error MalformedXML; whether the tags are valid is for the header's reader. */
export function taggingHeader(xml: string): string {
  const { TagSet } = fields(readXml(utf8(xml), 'Tagging'), ['TagSet']);
  const tags = TagSet === undefined ? [] : TagSet.children;
  return tags
    .map((tag) => {
      if (tag.name !== 'Tag') throw new S3Error('MalformedXML');
      const { Key, Value } = fields(tag, ['Key', 'Value']);
      return [requiredText('Key', Key), requiredText('Value', Value)].map((text) => uriEncode(bytesOfText(text), false)).join('=');
    })
    .join('&');
}
