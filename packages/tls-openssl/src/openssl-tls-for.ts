import { checkOptionNames, readConfigFiles, type ServerConf, type TlsProvider } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import { opensslTls, type OpensslTlsOptions } from "./openssl-tls.ts";

/**
 * {@link opensslTls} as a server's configuration says: upstreams are verified with the authorities in `ca_file`, and the secrets of
 * connections to upstreams, but not to clients, go to the file that `SSLKEYLOGFILE` names, if `upstream_debug_ssl_keylog` allows it.
 * @param conf `ca_file` is read now, relative to the folder that the process is in.
 * @throws ProxyError `ConfigError` or `InvalidCert`, with the key, for a `ca_file` that cannot be used; else as {@link opensslTls}.
 */
export function opensslTlsFor(
  conf: Pick<ServerConf, "ca_file" | "upstream_debug_ssl_keylog">,
  options: Omit<OpensslTlsOptions, "ca" | "keyLogFile"> = {},
): TlsProvider {
  checkOptionNames("opensslTlsFor", options, ["clientCert", "maxSessions", "transport"]);
  const clients = opensslTls({ ...options, keyLogFile: false });
  const upstreams = upstreamTls(conf, options);
  return {
    name: clients.name,
    listen: (settings) => clients.listen(settings),
    connect: (stream, peer, how) => upstreams.connect(stream, peer, how),
  };
}

function upstreamTls(
  { ca_file: caFile, upstream_debug_ssl_keylog: mayLog }: Parameters<typeof opensslTlsFor>[0],
  options: Omit<OpensslTlsOptions, "ca" | "keyLogFile">,
): TlsProvider {
  const keyLogFile = (mayLog && process.env["SSLKEYLOGFILE"]) || false;
  if (caFile === undefined) return opensslTls({ ...options, keyLogFile });
  try {
    return readConfigFiles([caFile], (ca) => opensslTls({ ...options, keyLogFile, ca }));
  } catch (error) {
    if (error instanceof ProxyError) throw error.moreContext("ca_file");
    if (!(error instanceof Error && "syscall" in error)) throw error;
    throw ProxyError.internal("ConfigError", `ca_file: cannot read ${caFile}`, error);
  }
}
