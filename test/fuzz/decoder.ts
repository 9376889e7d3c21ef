/** Targets that are one function from bytes to a value or a refusal. */
import { equal, hex } from '../../src/base/bytes.ts';
import { isOperationError } from '../../src/base/errors.ts';
import type { ErrorCode } from '../../src/base/errors.ts';
import type { Outcome, Target } from './engine.ts';

export interface DecoderOptions extends Pick<Target, 'name' | 'covers' | 'format' | 'seeds' | 'lends'> {
  /** True when the input was accepted. Checks what must hold of an accepted one by throwing. */
  readonly accepts: (input: Uint8Array) => boolean | Promise<boolean>;
  /** Is this error one that the decoder documents? Without it, it may throw nothing. */
  readonly refuses?: (error: unknown) => boolean;
  readonly inputs?: number;
  readonly allocates?: number;
}

const INPUTS = 300;

export function decoder({ accepts, refuses = () => false, inputs = INPUTS, ...rest }: DecoderOptions): Target {
  const refusal = (error: unknown): Outcome => {
    if (refuses(error)) return 'refused';
    throw error;
  };
  const outcome = (accepted: boolean): Outcome => (accepted ? 'accepted' : 'refused');
  const attempt = (input: Uint8Array): Outcome | Promise<Outcome> => {
    try {
      const accepted = accepts(input);
      return typeof accepted === 'boolean' ? outcome(accepted) : accepted.then(outcome, refusal);
    } catch (error) {
      return refusal(error);
    }
  };
  return { ...rest, inputs, open: () => ({ attempt }) };
}

/** Refusals that are OperationErrors of these codes. */
export function operationErrors(...codes: readonly ErrorCode[]): (error: unknown) => boolean {
  return (error) => codes.some((code) => isOperationError(error, code));
}

export class PropertyError extends Error {
  override readonly name = 'PropertyError';
}

export function holds(condition: boolean, property: string): void {
  if (!condition) throw new PropertyError(property);
}

/** Canonical decoders accept one encoding of a value: to encode again gives the same bytes. */
export function sameBytes(encoded: Uint8Array, input: Uint8Array): void {
  if (!equal(encoded, input)) throw new PropertyError(`encoded again it is ${hex(encoded).slice(0, 400)}`);
}
