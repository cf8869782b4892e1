/**
 * The types of the settings' values, and the options that they correspond to.
 *
 * @module
 */

import type {
  AdminOptions,
  BackendTlsOptions,
  EjectOptions,
  HealthOptions,
  PolicyName,
  ProxyOptions,
  ServeOptions,
  TlsOptions,
} from "./options.ts";

/** The value of each setting. */
export type SettingValues = {
  BACKENDS: string;
  BACKENDS_FILE: string;
  BACKEND_CA: string;
  BACKEND_CERT: string;
  BACKEND_KEY: string;
  TRANSPORT: "auto" | "fetch" | "socket";
  PORT: number;
  HOST: string;
  TLS_CERT: string;
  TLS_KEY: string;
  REDIRECT_PORT: number | false;
  WORKERS: number | "auto";
  POLICY: PolicyName;
  HEALTH_PATH: string | false;
  HEALTH_HOST: string;
  HEALTH_STATUS: string;
  HEALTH_INTERVAL: number;
  HEALTH_TIMEOUT: number;
  HEALTH_RISE: number;
  HEALTH_FALL: number;
  EJECT_AFTER: number | false;
  EJECT_TIME: number;
  SLOW_START: number | false;
  RETRIES: number;
  RETRY_BUDGET: number;
  CONNECT_TIMEOUT: number;
  TIMEOUT: number;
  CLIENT_TIMEOUT: number | false;
  IDLE_TIMEOUT: number | false;
  RESUME: boolean;
  MAX_BODY: number | false;
  MAX_MESSAGE: number;
  MAX_IN_FLIGHT: number | "auto" | false;
  RATE_LIMIT: { requests: number; perMs: number } | false;
  HOST_HEADER: "auto" | "preserve" | "backend";
  TRUSTED_PROXIES: readonly string[];
  VIA: boolean;
  REQUEST_ID: boolean;
  TRACE: boolean;
  ACCESS_LOG: "json" | "combined" | false;
  LOG_QUERY: boolean;
  ADMIN_PORT: number | false;
  ADMIN_HOST: readonly string[];
  ADMIN_TOKEN: string;
  DRAIN_DELAY: number;
  DRAIN_TIMEOUT: number;
};

/** The name of a setting, which is the name of its environment variable. */
export type SettingName = keyof SettingValues;

/** Path of an option. One that does not exist does not compile. */
export type OptionPath =
  | `proxy.${keyof ProxyOptions}`
  | `proxy.health.${keyof HealthOptions}`
  | `proxy.eject.${keyof EjectOptions}`
  | `proxy.backendTls.${keyof BackendTlsOptions}`
  | `serve.${keyof ServeOptions}`
  | `serve.tls.${keyof TlsOptions}`
  | `serve.admin.${keyof AdminOptions}`;
