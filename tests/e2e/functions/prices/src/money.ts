export interface Money {
  readonly cents: number;
  readonly currency: string;
}

export const total = (parts: readonly Money[]): Money => ({
  cents: parts.reduce((sum, part) => sum + part.cents, 0),
  currency: parts[0]?.currency ?? "EUR",
});
