/** Every target. */
import type { Target } from './engine.ts';
import { diskTargets } from './targets/disk.ts';
import { protocolTargets } from './targets/protocol.ts';
import { s3Targets } from './targets/s3.ts';
import { textTargets } from './targets/text.ts';

export const targets: readonly Target[] = [...protocolTargets, ...diskTargets, ...textTargets, ...s3Targets];
