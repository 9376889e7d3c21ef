/** How simulated time learns that everything that can go on has gone on: the event loop's next turn. */
export function endOfTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
