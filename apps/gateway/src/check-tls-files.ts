import { ProxyError } from "@sluice/error";
import type { GatewayConf } from "./gateway-conf.ts";
import { toListenSettings, toPeerTlsOptions, toTlsProvider } from "./tls-conf.ts";

/**
 * Reads the files of certificates and keys that a configuration names, as a start would.
 * @throws ProxyError that names the first that cannot be used.
 */
export async function checkTlsFiles(conf: GatewayConf): Promise<void> {
  const { listeners, upstreams } = conf;
  const provider = toTlsProvider({ ca_file: conf.ca_file, upstream_debug_ssl_keylog: false });
  for (const [index, { tls }] of listeners.entries()) {
    if (tls === undefined) continue;
    try {
      const acceptor = await provider.listen(toListenSettings(tls));
      acceptor.close();
    } catch (error) {
      throw error instanceof ProxyError ? error.moreContext(`listeners[${index}].tls`) : error;
    }
  }
  for (const [name, { tls }] of Object.entries(upstreams)) {
    if (tls !== undefined) toPeerTlsOptions(tls, `upstreams.${name}.tls`);
  }
}
