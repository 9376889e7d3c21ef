/** Whether the slow tests run too: `npm run test:full`. */
export const IS_SLOW = process.env['SLOW'] === '1';
