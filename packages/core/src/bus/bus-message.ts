/** What goes between the processes of a server for its bus. */
export type BusMessage =
  | {
      readonly bus: "publish";
      readonly topic: string;
      readonly message: unknown;
      readonly retainAs: string | undefined;
    }
  | {
      readonly bus: "ask";
      readonly id: number;
      readonly name: string;
      readonly question: unknown;
      readonly timeoutMs: number;
    }
  | { readonly bus: "answers"; readonly id: number; readonly answers: readonly unknown[] };

/** A message that later processes get, too. */
export interface RetainedMessage {
  readonly topic: string;
  readonly retainAs: string;
  readonly message: unknown;
}

export function isBusMessage(message: unknown): message is BusMessage {
  return typeof message === "object" && message !== null && "bus" in message;
}
