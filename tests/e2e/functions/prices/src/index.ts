// Adds up a basket: TypeScript in several files.
import { format } from "./format";
import { type Money, total } from "./money";

interface Context {
  readonly body: { readonly items: readonly Money[] };
}

export default function prices({ body }: Context): { total: string; items: number } {
  console.warn(`adding up ${body.items.length} items`);
  return { total: format(total(body.items)), items: body.items.length };
}
