/** The S3 front with two accounts, a narrow access key and anonymous clients, for tests about access. */
import { ACCESS_KEY, ACCOUNT, ask, send, sign, SECRET_KEY, startS3World } from '../s3-world.contract.ts';
import type { Answer, S3World, SignedRequest } from '../s3-world.contract.ts';
import type { S3FrontOptions } from '../front.ts';
import type { Account, Credential } from '../auth/principal.ts';
import { directoryOf } from './credential-store.ts';

export const MAIN: Account = { ...ACCOUNT, displayName: 'main', email: 'main@example.com' };
export const ALT: Account = { id: 'fedcba98'.repeat(8), displayName: 'alt', email: 'alt@example.com' };
const ALT_KEY = 'HFTESTACCESSKEY00002';
const NARROW_KEY = 'HFTESTACCESSKEY00003';
const SECRET = 'another-secret';

export type Who = 'main' | 'alt' | 'narrow' | 'anonymous';

export interface AccessWorld extends S3World {
  /** Asks as somebody; a body that is an object is sent as JSON. */
  as(who: Who, method: string, path: string, more?: Partial<SignedRequest>): Promise<Answer>;
}

export async function startAccessWorld(narrow: Partial<Credential> = {}, front: Partial<S3FrontOptions> = {}): Promise<AccessWorld> {
  const credentials: Readonly<Record<string, Credential>> = {
    [ACCESS_KEY]: { secretAccessKey: SECRET_KEY, account: MAIN },
    [ALT_KEY]: { secretAccessKey: SECRET, account: ALT },
    [NARROW_KEY]: { secretAccessKey: SECRET, account: MAIN, ...narrow },
  };
  const world = await startS3World({
    lookup: (id) => Promise.resolve(credentials[id]),
    accounts: directoryOf(MAIN, ALT),
    ...front,
  });
  const as: AccessWorld['as'] = async (who, method, target, more = {}) => {
    const [path = '', search = ''] = target.split('?');
    const query = Object.fromEntries(new URLSearchParams(search));
    const wish: SignedRequest = { method, path, query, ...more };
    if (who === 'main') return await ask(world, wish);
    if (who === 'alt') return await ask(world, { ...wish, accessKey: ALT_KEY, secret: SECRET });
    if (who === 'narrow') return await ask(world, { ...wish, accessKey: NARROW_KEY, secret: SECRET });
    const prepared = sign(`${world.server.address}:${String(world.server.port)}`, wish);
    const headers = Object.fromEntries(
      Object.entries(prepared.headers).filter(([name]) => name !== 'authorization' && name !== 'x-amz-date' && name !== 'x-amz-content-sha256'),
    );
    return await send(world.server, { ...prepared, headers }, wish.body ?? '');
  };
  return { ...world, as };
}
