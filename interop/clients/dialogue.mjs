// How a script talks with the test that started it: one JSON line for each event, and one line
// of input where it needs a person (the callback address) or an operator (a revocation).
import { createInterface } from 'node:readline';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export function tell(event, detail = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...detail })}\n`);
}

export async function ask(event, detail = {}) {
  tell(event, detail);
  const { value, done } = await lines.next();
  if (done) throw new Error(`nobody answered ${event}`);
  return value;
}

export function check(condition, message) {
  if (!condition) throw new Error(message);
}
