/** A file as it was read last. */
export interface WatchedFile {
  readonly content: Uint8Array;
  /** Tells one state of the file from another. */
  readonly state: string;
}
