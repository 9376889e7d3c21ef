/**
 * What a bucket's documents say about access, decoded from the state that the store keeps. A document that
 * cannot be read closes what it would have opened: nobody but the owner gets in until it is put anew.
 */
import { z } from 'zod';
import { utf8 } from '../../../base/bytes.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { isPublicPolicy } from '../policy/public.ts';
import { templateOf } from '../policy/variables.ts';
import { compilePattern } from '../policy/wildcard.ts';
import type { BucketState } from '../port/buckets.ts';
import { decodeGrants } from './acl.ts';
import type { Grant } from './acl.ts';

export const OWNERSHIPS = ['BucketOwnerEnforced', 'BucketOwnerPreferred', 'ObjectWriter'] as const;
export type Ownership = (typeof OWNERSHIPS)[number];

export interface PublicAccessBlock {
  readonly blockPublicAcls: boolean;
  readonly ignorePublicAcls: boolean;
  readonly blockPublicPolicy: boolean;
  readonly restrictPublicBuckets: boolean;
}

const NO_BLOCK: PublicAccessBlock = {
  blockPublicAcls: false,
  ignorePublicAcls: false,
  blockPublicPolicy: false,
  restrictPublicBuckets: false,
};
const FULL_BLOCK: PublicAccessBlock = {
  blockPublicAcls: true,
  ignorePublicAcls: true,
  blockPublicPolicy: true,
  restrictPublicBuckets: true,
};

const blockSchema = z.strictObject({
  v: z.literal(1),
  blockPublicAcls: z.boolean(),
  ignorePublicAcls: z.boolean(),
  blockPublicPolicy: z.boolean(),
  restrictPublicBuckets: z.boolean(),
});

/** As kept beside the policy's own text. */
const policySchema = z.strictObject({ v: z.literal(1), text: z.string(), isOwnerBound: z.boolean() });

export interface StoredPolicy {
  /** As the client put it. */
  readonly text: string;
  /** The owner confirmed that denials bind him too, even from changing the policy. */
  readonly isOwnerBound: boolean;
}

export function encodePolicy(policy: StoredPolicy): string {
  return JSON.stringify({ v: 1, ...policy });
}

/** Undefined for what `encodePolicy` did not write. */
export function decodePolicy(document: string): StoredPolicy | undefined {
  const parsed = policySchema.safeParse(jsonOf(document));
  return parsed.success ? { text: parsed.data.text, isOwnerBound: parsed.data.isOwnerBound } : undefined;
}

export function encodeBlock(block: PublicAccessBlock): string {
  return JSON.stringify({ v: 1, ...block });
}

/** Undefined for what `encodeBlock` did not write. */
export function decodeBlock(document: string): PublicAccessBlock | undefined {
  const parsed = blockSchema.safeParse(jsonOf(document));
  if (!parsed.success) return undefined;
  const { blockPublicAcls, ignorePublicAcls, blockPublicPolicy, restrictPublicBuckets } = parsed.data;
  return { blockPublicAcls, ignorePublicAcls, blockPublicPolicy, restrictPublicBuckets };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export interface BucketFacts {
  readonly name: string;
  readonly owner: string;
  readonly policy: Policy | undefined;
  readonly isPolicyPublic: boolean;
  readonly isOwnerBound: boolean;
  readonly block: PublicAccessBlock;
  /** Without controls a writer owns what it wrote, and ACLs count. */
  readonly ownership: Ownership;
  readonly grants: readonly Grant[];
}

const ownershipSchema = z.strictObject({ v: z.literal(1), ownership: z.enum(OWNERSHIPS) });

export function encodeOwnership(ownership: Ownership): string {
  return JSON.stringify({ v: 1, ownership });
}

/** Undefined for what `encodeOwnership` did not write. */
export function decodeOwnership(document: string): Ownership | undefined {
  const parsed = ownershipSchema.safeParse(jsonOf(document));
  return parsed.success ? parsed.data.ownership : undefined;
}

function readPolicy(document: string, bucket: string): Pick<BucketFacts, 'policy' | 'isOwnerBound'> | undefined {
  const stored = decodePolicy(document);
  if (stored === undefined) return undefined;
  try {
    const policy = parsePolicy(utf8(stored.text), { kind: 'bucket', bucket });
    return { policy, isOwnerBound: stored.isOwnerBound };
  } catch {
    return undefined;
  }
}

/** Denies everything to everybody; the owner keeps the right to put another one. */
const CLOSED: Pick<BucketFacts, 'policy' | 'isOwnerBound'> = {
  policy: {
    statements: [
      {
        effect: 'Deny',
        principals: { isNot: false, patterns: [{ kind: 'anyone' }] },
        actions: { isNot: false, patterns: [compilePattern('*')] },
        resources: { isNot: false, patterns: [templateOf('*')] },
        conditions: [],
      },
    ],
  },
  isOwnerBound: false,
};

/** Facts by what they were read from, those used last at the end: a policy is parsed when it is new. */
const known = new Map<string, BucketFacts>();
const KNOWN_MAX = 256;

export function factsOf(state: BucketState): BucketFacts {
  const { accessControl, ownership, policy, publicAccessBlock } = state.documents;
  const key = JSON.stringify([state.name, state.owner, accessControl, ownership, policy, publicAccessBlock]);
  const facts = known.get(key) ?? readFacts(state);
  known.delete(key);
  known.set(key, facts);
  const [oldest] = known.keys();
  if (known.size > KNOWN_MAX && oldest !== undefined) known.delete(oldest);
  return facts;
}

function readFacts({ documents, name, owner }: BucketState): BucketFacts {
  const { policy, isOwnerBound } =
    documents.policy === undefined
      ? { policy: undefined, isOwnerBound: false }
      : (readPolicy(documents.policy, name) ?? CLOSED);
  return {
    name,
    owner,
    policy,
    isOwnerBound,
    isPolicyPublic: policy !== undefined && isPublicPolicy(policy),
    block: documents.publicAccessBlock === undefined ? NO_BLOCK : (decodeBlock(documents.publicAccessBlock) ?? FULL_BLOCK),
    ownership:
      documents.ownership === undefined ? 'ObjectWriter' : (decodeOwnership(documents.ownership) ?? 'BucketOwnerEnforced'),
    grants: decodeGrants(documents.accessControl, owner) ?? [],
  };
}
