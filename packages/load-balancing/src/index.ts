// For those who run a proxy.
export { Backend, type BackendInput, type BackendOptions } from "./backend.ts";
export {
  LoadBalancer,
  type BackendRef,
  type DiscoveringLoadBalancerOptions,
  type LoadBalancerOptions,
  type SelectOptions,
} from "./load-balancer.ts";
export { roundRobin } from "./round-robin.ts";
export { tcpHealthCheck, type TcpHealthCheckOptions } from "./tcp-health-check.ts";
export { staticDiscovery, type DiscoveryResult, type ServiceDiscovery } from "./discovery.ts";
export {
  balancerChannels,
  type BalancerRetiredMessage,
  type BackendCheckedMessage,
  type BalancerUpdatedMessage,
  type BalancerUpdateFailedMessage,
} from "./channels.ts";
// For those who write a selection or a health check.
export type { Fallbacks, Selection, Selector } from "./selection.ts";
export { DEFAULT_CHECK_TIMEOUT_MS, type HealthCheck } from "./health-check.ts";
