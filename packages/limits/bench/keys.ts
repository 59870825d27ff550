const COUNT = 4096;

/** Keys as they are counted, for the programs beside this file. */
export const KEYS: readonly (readonly [name: string, keys: readonly (string | number | Uint8Array)[]])[] = [
  ["IPv4 address", keys((index) => `198.51.${index >> 8}.${index & 255}`)],
  ["IPv6 address", keys((index) => `2001:db8:85a3:0:8a2e:370:${index.toString(16)}:7334`)],
  ["token of 40 characters", keys((index) => `sk_live_${index.toString(16).padStart(32, "4eC39HqLyjWDarjtT1zdp7dc")}`)],
  ["number", keys((index) => index)],
  ["16 bytes", keys((index) => Uint8Array.from({ length: 16 }, (_, at) => index >> at))],
];

function keys<Key>(make: (index: number) => Key): Key[] {
  return Array.from({ length: COUNT }, (_, index) => make(index));
}
