/** Every target. */
import type { Target } from './engine.ts';
import { accessTargets } from './targets/s3-access.ts';
import { clientTargets } from './targets/client.ts';
import { commandLineTargets } from './targets/command-line.ts';
import { diskTargets } from './targets/disk.ts';
import { auditLogTargets } from './targets/audit-log.ts';
import { historyTargets } from './targets/history.ts';
import { nodeTargets } from './targets/node.ts';
import { protocolTargets } from './targets/protocol.ts';
import { documentTargets } from './targets/s3-documents.ts';
import { featureTargets } from './targets/s3-features.ts';
import { s3Targets } from './targets/s3.ts';
import { socketTargets } from './targets/sockets.ts';
import { textTargets } from './targets/text.ts';

export const targets: readonly Target[] = [...protocolTargets, ...diskTargets, ...textTargets, ...s3Targets, ...accessTargets, ...documentTargets, ...featureTargets, ...nodeTargets, ...historyTargets,
  ...auditLogTargets, ...clientTargets, ...socketTargets, ...commandLineTargets];
