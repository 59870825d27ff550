import type { Call, Message } from "./messages.ts";

/** The test's end of a program: what it was started with, and how to tell something. */
export const parent = {
  /** The config that the program was started with. */
  config(): unknown {
    return JSON.parse(process.argv[2]!);
  },

  listening(port: number): void {
    send({ listening: port });
  },

  tell(event: unknown): void {
    send({ event });
  },

  /** Answers the calls of the test, by name. */
  answer(answers: Readonly<Record<string, (argument: unknown) => unknown>>): void {
    process.on("message", ({ call, argument, number }: Call) => {
      send({ answer: answers[call]!(argument), number });
    });
  },
};

function send(message: Message): void {
  if (process.connected) process.send!(message);
}

// Nobody is left to stop it.
process.on("disconnect", () => process.exit());
