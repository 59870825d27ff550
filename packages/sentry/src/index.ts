export { sentryReporter, SentryReporter, type CaptureOptions } from "./sentry-reporter.ts";
export { DEFAULT_REQUEST_FIELDS, type SampleRates, type SentryOptions } from "./sentry-options.ts";
