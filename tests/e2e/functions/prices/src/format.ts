import type { Money } from "./money";

export function format({ cents, currency }: Money): string {
  return `${(cents / 100).toFixed(2)} ${currency}`;
}
