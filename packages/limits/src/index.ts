export { Estimator, type EstimatorOptions } from "./estimator.ts";
export {
  DEFAULT_INFLIGHT_HASHES,
  DEFAULT_INFLIGHT_SLOTS,
  Inflight,
  type InflightGuard,
  type InflightOptions,
} from "./inflight.ts";
export type { LimitKey } from "./limit-key.ts";
export {
  DEFAULT_RATE_HASHES,
  DEFAULT_RATE_SLOTS,
  proportionalRateEstimate,
  Rate,
  type RateComponents,
  type RateOptions,
} from "./rate.ts";
