/** What a process is for. */
export type ProcessRole =
  /** Started by whoever wanted the server. */
  | { readonly kind: "main" }
  /** The server in the background. */
  | {
      readonly kind: "daemon";
      readonly errorLog: string | undefined;
      /** The pid file of the server before was renamed for this one. */
      readonly hadPidFile: boolean;
    }
  /** One of those that serve. */
  | {
      readonly kind: "worker";
      /** From 1; that of its predecessor when it replaces one. */
      readonly id: number;
      /** Descriptors to listen on, by the key of the listener. */
      readonly fds: readonly (readonly [key: string, fd: number])[];
      readonly errorLog: string | undefined;
    };

const VARIABLE = "SLUICE_ROLE";

/** Where a worker can read the files that it inherits. 3 is the way to the process that has started it. */
export const CONFIG_FD = 4;

/** The first of a worker's descriptors to listen on. */
export const FIRST_LISTENING_FD = 5;

let role: ProcessRole | undefined;

/** The role of this process, told by the one that has started it. */
export function processRole(): ProcessRole {
  role ??= takeRole();
  return role;
}

/** The variables to start a process with, for it to have that role. */
export function roleEnvironment(wanted: ProcessRole): NodeJS.ProcessEnv {
  return { [VARIABLE]: JSON.stringify(wanted) };
}

function takeRole(): ProcessRole {
  const text = process.env[VARIABLE];
  // Whatever this process starts is not of that role.
  delete process.env[VARIABLE];
  if (text === undefined) return { kind: "main" };
  if (process.send === undefined) {
    throw new Error(`the variable ${VARIABLE} is set, but not by a server; it must not be set by anybody else`);
  }
  return JSON.parse(text) as ProcessRole;
}
