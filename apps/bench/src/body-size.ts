/** Bytes named by a word such as `13`, `1k`, `64k` or `1m` (powers of 1024). Throws on anything else. */
export function parseBodySize(word: string): number {
  const match = /^(\d+)([km]?)$/i.exec(word.trim());
  const bytes = Number(match?.[1]) * (UNIT_BYTES[match?.[2]?.toLowerCase() ?? ""] ?? 1);
  if (!(bytes > 0)) throw new Error(`not a body size: "${word}" (write 13, 1k, 64k or 1m)`);
  return bytes;
}

/** `13 B`, `64 KB`, `1 MB`: the way tables name a size in bytes. */
export function formatBodySize(bytes: number): string {
  if (bytes % (1024 * 1024) === 0) return `${bytes / (1024 * 1024)} MB`;
  if (bytes % 1024 === 0) return `${bytes / 1024} KB`;
  return `${bytes} B`;
}

const UNIT_BYTES: Readonly<Record<string, number>> = { k: 1024, m: 1024 * 1024 };
