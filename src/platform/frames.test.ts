/** The frame format, byte for byte, and the parser against every way of cutting and spoiling its input. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, fromHex, hex, utf8 } from '../base/bytes.ts';
import { FRAME_BODY_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import { FrameParser, HEADER_BYTES, PREFACE, encodeFrame, failureFrame, failureReason } from './frames.ts';
import type { FrameKind, ParseStep, WireFrame } from './frames.ts';

const ALL: readonly FrameKind[] = ['request', 'response', 'notice', 'error'];

/** All that the parser says until it wants more or has found a fault. */
function drain(parser: FrameParser): ParseStep[] {
  const steps: ParseStep[] = [];
  for (;;) {
    const step = parser.next();
    if (step.step === 'more') return steps;
    steps.push(step);
    if (step.step === 'fault') return steps;
  }
}

function parse(chunks: readonly Uint8Array[], accepts: readonly FrameKind[] = ALL): ParseStep[] {
  const parser = new FrameParser(accepts);
  const steps: ParseStep[] = [];
  for (const chunk of chunks) {
    parser.push(chunk);
    steps.push(...drain(parser));
  }
  return steps;
}

/** The fault that a frame with this header (in hex) causes after a good preface. */
function faultOf(header: string, accepts: readonly FrameKind[] = ALL): string {
  const last = parse([concat(PREFACE, fromHex(header.replaceAll(' ', '')))], accepts).at(-1);
  return last?.step === 'fault' ? last.fault : 'none';
}

const wireFrame: fc.Arbitrary<WireFrame> = fc
  .record({
    kind: fc.constantFrom<FrameKind>('request', 'response', 'notice'),
    id: fc.integer({ min: 1, max: 0xffff_ffff }),
    body: fc.uint8Array({ maxLength: 300 }),
    payload: fc.oneof(fc.uint8Array({ maxLength: 50 }), fc.uint8Array({ minLength: 5000, maxLength: 9000 })),
  })
  .map((frame) => (frame.kind === 'notice' ? { ...frame, id: 0 } : frame));

describe('the frame format', () => {
  test('a frame is its lengths, kind and id, then body, then payload (spec/formats/frames.md)', () => {
    const frame = { body: utf8('ask'), payload: Uint8Array.of(0xff, 0xfe) };
    const bytes = encodeFrame('request', 0x01020304, frame);
    expect(hex(bytes)).toBe('0000000300000002' + '01' + '01020304' + '61736b' + 'fffe');
    expect(new TextDecoder().decode(PREFACE)).toBe('HOLDFAST/1\n');
  });

  test('the example of the specification reads as it says', () => {
    const page = readFileSync(new URL('../../spec/formats/frames.md', import.meta.url), 'utf8');
    const example = page.split('```')[1] ?? '';
    const sides = (arrow: string): ParseStep[] => {
      const lines = example.split('\n').filter((line) => line.startsWith(arrow));
      const bytes = lines.map((line) => /^.. ((?:(?:[0-9a-f]{2}|\|) )+) /.exec(line)?.[1] ?? '');
      return parse(bytes.map((text) => fromHex(text.replaceAll(/[ |]/g, ''))));
    };
    const frame = (kind: FrameKind, id: number, body: string, payload: number[]): ParseStep => ({
      step: 'frame',
      frame: { kind, id, body: utf8(body), payload: Uint8Array.from(payload) },
    });
    expect(sides('->')).toEqual([{ step: 'preface' }, frame('request', 1, 'ask', [0xff, 0xfe])]);
    expect(sides('<-')).toEqual([
      { step: 'preface' },
      frame('response', 1, 'ok', []),
      frame('notice', 0, 'n', []),
    ]);
  });

  test('an error frame carries one byte, and a reason of a later version reads as a failure', () => {
    for (const reason of ['failed', 'busy', 'stopped'] as const) {
      expect(failureFrame(reason).body.length).toBe(1);
      expect(failureReason(failureFrame(reason))).toBe(reason);
    }
    expect(failureReason({ body: Uint8Array.of(250), payload: new Uint8Array(0) })).toBe('failed');
  });
});

describe('the parser', () => {
  test('gives the same frames however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(wireFrame, { maxLength: 4 }), fc.integer({ min: 1, max: 4e3 }), (frames, size) => {
        const bytes = concat(PREFACE, ...frames.map((frame) => encodeFrame(frame.kind, frame.id, frame)));
        const chunks: Uint8Array[] = [];
        for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
        const [preface, ...rest] = parse(chunks);
        expect(preface).toEqual({ step: 'preface' });
        expect(rest).toEqual(frames.map((frame) => ({ step: 'frame', frame })));
      }),
      { numRuns: 100 },
    );
  });

  test('gives the same frames byte by byte', () => {
    const frame = { kind: 'response', id: 7, body: utf8('body'), payload: utf8('payload') } as const;
    const bytes = concat(PREFACE, encodeFrame(frame.kind, frame.id, frame));
    const steps = parse(Array.from(bytes, (byte) => Uint8Array.of(byte)));
    expect(steps).toEqual([{ step: 'preface' }, { step: 'frame', frame }]);
  });

  test('shares no memory with its input and wastes none', () => {
    const frame = { body: utf8('abc'), payload: new Uint8Array(10_000).fill(9) };
    const input = concat(PREFACE, encodeFrame('request', 1, frame));
    const step = parse([input]).at(-1);
    input.fill(0);
    if (step?.step !== 'frame') throw new Error('no frame');
    expect(step.frame.body).toEqual(utf8('abc'));
    expect(step.frame.payload.every((byte) => byte === 9)).toBe(true);
    expect(step.frame.payload.buffer.byteLength).toBe(10_000);
  });

  test('keeps frames that were not taken yet while more arrives', () => {
    const parser = new FrameParser(ALL);
    const one = encodeFrame('request', 1, { body: utf8('one'), payload: new Uint8Array(0) });
    const two = encodeFrame('request', 2, { body: utf8('two'), payload: new Uint8Array(0) });
    parser.push(concat(PREFACE, one, two.subarray(0, 5)));
    expect(parser.next()).toEqual({ step: 'preface' });
    parser.push(two.subarray(5));
    expect(drain(parser).map((step) => (step.step === 'frame' ? step.frame.id : step))).toEqual([1, 2]);
    expect(parser.midFrame).toBe(false);
  });

  test('knows whether it is inside a frame', () => {
    const parser = new FrameParser(ALL);
    parser.push(PREFACE);
    drain(parser);
    expect(parser.midFrame).toBe(false);
    const frame = encodeFrame('request', 1, { body: utf8('x'), payload: utf8('y') });
    for (let i = 0; i < frame.length; i += 1) {
      parser.push(frame.subarray(i, i + 1));
      const done = drain(parser).length === 1;
      expect(done).toBe(i === frame.length - 1);
      expect(parser.midFrame).toBe(!done);
    }
  });

  test('accepts the largest frame and refuses one byte more, before the bytes are there', () => {
    const body = new Uint8Array(FRAME_BODY_BYTES_MAX);
    const payload = new Uint8Array(FRAME_PAYLOAD_BYTES_MAX);
    expect(parse([PREFACE, encodeFrame('request', 1, { body, payload })]).at(-1)?.step).toBe('frame');
    expect(faultOf('00100001 00000000 01 00000001')).toBe('body_length');
    expect(faultOf('00000000 00100001 01 00000001')).toBe('payload_length');
    expect(faultOf('ffffffff ffffffff 01 00000001')).toBe('body_length');
    expect(faultOf('80000000 00000000 01 00000001')).toBe('body_length');
  });

  test('refuses kinds that do not exist or that this end may not be sent', () => {
    expect(faultOf('00000000 00000000 00 00000001')).toBe('kind');
    expect(faultOf('00000000 00000000 05 00000001')).toBe('kind');
    expect(faultOf('00000000 00000000 02 00000001', ['request'])).toBe('kind');
    expect(faultOf('00000000 00000000 01 00000001', ['response', 'notice', 'error'])).toBe('kind');
  });

  test('refuses ids that do not fit the kind, and errors that are not one byte', () => {
    expect(faultOf('00000000 00000000 01 00000000')).toBe('id');
    expect(faultOf('00000000 00000000 03 00000001')).toBe('id');
    expect(faultOf('00000000 00000000 04 00000001')).toBe('error_shape');
    expect(faultOf('00000001 00000001 04 00000001')).toBe('error_shape');
  });

  test('refuses another preface at its first wrong byte, and says so for ever', () => {
    const parser = new FrameParser(ALL);
    parser.push(utf8('HOLDFAST/2\n'));
    expect(parser.next()).toEqual({ step: 'fault', fault: 'preface' });
    parser.push(concat(PREFACE, encodeFrame('request', 1, { body: utf8('x'), payload: utf8('') })));
    expect(parser.next()).toEqual({ step: 'fault', fault: 'preface' });
    expect(parse([utf8('G')])).toEqual([{ step: 'fault', fault: 'preface' }]);
  });

  test('meets any bytes with frames within the limits or a fault, and never throws', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }), (chunks) => {
        for (const step of parse([PREFACE, ...chunks])) {
          if (step.step !== 'frame') continue;
          expect(step.frame.body.length).toBeLessThanOrEqual(chunks.length * 40 - HEADER_BYTES);
        }
      }),
      { numRuns: 300 },
    );
  });
});
