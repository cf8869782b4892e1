/**
 * The grammars of the settings: one parser for each kind of value.
 *
 * Each is pure and refuses rather than guesses. A refusal is the rest of a
 * sentence that begins with the quoted value (`"5" has no unit: write 5s …`),
 * so that all faults read alike. The caller quotes the value, since it knows
 * whether it is secret.
 *
 * @module
 */

import { parseCidr } from "./address.ts";
import type { PolicyName } from "./options.ts";

/** The result of a parser: a value, or what is wrong and what to write. */
export type Result<T> = { readonly value: T } | { readonly wanted: string };

/** Bounds of a number. */
export interface Bounds {
  readonly min: number;
  readonly max: number;
  /** Whether it must be whole. */
  readonly whole: boolean;
}

/** A kind of value. */
export interface Grammar<T> {
  /** The accepted values, for the table of settings: `10ms` to `24h`. */
  readonly takes: string;
  /** Parses a value, or says what to write. */
  readonly parse: (text: string) => Result<T>;
  /** The bounds for values from code; absent for texts. */
  readonly bounds?: Bounds | undefined;
}

/** The longest delay of a timer; a longer one would fire at once. */
export const MAX_TIMER_MS: number = 2 ** 31 - 1;

const MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const BYTES: Record<string, number> = {
  B: 1,
  KB: 1024,
  MB: 1024 ** 2,
  GB: 1024 ** 3,
};

/**
 * A duration in milliseconds, written with its unit: `500ms`, `5s`, `2m`, `1h`.
 *
 * @throws {RangeError} If a bound is not a duration, or too long for a timer.
 */
export function duration(min: string, max: string): Grammar<number> {
  return quantity("duration", "500ms, 5s, 2m or 1h", "s", MS, min, max);
}

/**
 * A size in bytes, written with its unit: `512B`, `64KB`, `10MB`, `1GB`. Units
 * are powers of 1024.
 *
 * @throws {RangeError} If a bound is not a size.
 */
export function size(min: string, max: string): Grammar<number> {
  return quantity("size", "512B, 64KB, 10MB or 1GB", "MB", BYTES, min, max);
}

/** A whole number within bounds. */
export function integer(min: number, max: number): Grammar<number> {
  return {
    takes: `\`${min}\` to \`${max}\``,
    bounds: { min, max, whole: true },
    parse(text) {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
      return value >= min && value <= max ? { value } : {
        wanted: `is not valid: write a whole number from ${min} to ${max}`,
      };
    },
  };
}

/** A share, `0%` to `100%`, as a number from 0 to 1. */
export const share: Grammar<number> = {
  takes: "`0%` to `100%`",
  bounds: { min: 0, max: 1, whole: false },
  parse(text) {
    const match = /^(\d{1,3}(?:\.\d{1,6})?)%$/.exec(text);
    const percent = match ? Number(match[1]) : NaN;
    return percent <= 100
      ? { value: percent / 100 }
      : { wanted: "is not a share: write one from 0% to 100%, such as 20%" };
  },
};

/** One of several words. */
export function oneOf<const T extends string>(
  ...words: readonly T[]
): Grammar<T> {
  return {
    takes: words.map((word) => `\`${word}\``).join(", "),
    parse(text) {
      const value = words.find((word) => word === text);
      return value !== undefined
        ? { value }
        : { wanted: `is not valid: write ${orList(words)}` };
    },
  };
}

/** `on` or `off`. */
export const onOff: Grammar<boolean> = {
  takes: "`on`, `off`",
  parse(text) {
    return text === "on" || text === "off"
      ? { value: text === "on" }
      : { wanted: "is not valid: write on or off" };
  },
};

/** A value that can be switched off: `off` is `false`. */
export function orOff<T>(grammar: Grammar<T>): Grammar<T | false> {
  return orWord("off", false, grammar);
}

/** A grammar with one more word, which stands for a given value. */
export function orWord<T, W>(
  word: string,
  value: W,
  grammar: Grammar<T>,
): Grammar<T | W> {
  return {
    takes: `${grammar.takes}, \`${word}\``,
    bounds: grammar.bounds,
    parse(text): Result<T | W> {
      if (text === word) return { value };
      const result = grammar.parse(text);
      return "value" in result
        ? result
        : { wanted: `${result.wanted}, or ${word}` };
    },
  };
}

/** Requests per time: `50/s`, `1000/m`, `10000/h`. */
export const rate: Grammar<{ requests: number; perMs: number }> = {
  takes: "`1/h` to `1000000/s`",
  parse(text) {
    const [, digits, unit = ""] = /^(\d{1,7})\/([smh])$/.exec(text) ?? [];
    const requests = Number(digits);
    if (requests >= 1 && requests <= 1_000_000) {
      return { value: { requests, perMs: MS[unit]! } };
    }
    return {
      wanted: Number.isNaN(requests)
        ? "is not a rate: write requests per s, m or h, such as " +
          (/^[1-9]\d{0,5}$/.test(text) ? `${text}/s` : "50/s or 1000/m")
        : "is out of bounds: write a rate from 1/h to 1000000/s",
    };
  },
};

/** A port, 0 to 65535; 0: any free port. */
export const port: Grammar<number> = {
  takes: "`0` to `65535`",
  bounds: { min: 0, max: 65535, whole: true },
  parse(text) {
    const value = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
    return value <= 65535
      ? { value }
      : { wanted: "is not a port: write a number from 0 to 65535" };
  },
};

/** An address or a name to listen on; brackets around IPv6 are removed. */
export const host: Grammar<string> = {
  takes: "an address or a name",
  parse(text) {
    const bracketed = text.startsWith("[") && text.endsWith("]") &&
      text.includes(":");
    const bare = bracketed ? text.slice(1, -1) : text;
    // A host that ends in a number is parsed as an address (WHATWG URL §3.5),
    // so an invalid one must not pass as a name: `256.0.0.1`.
    const usable = parseCidr(bare)?.bits === 128 && !bare.includes("/") ||
      isName(bare) && !/(?:^|\.)\d+$/.test(bare);
    return usable ? { value: bare.toLowerCase() } : {
      wanted: "is not an address or a name: write 0.0.0.0, ::, or localhost",
    };
  },
};

function isName(text: string): boolean {
  return text.length <= 253 &&
    text.split(".").every((label) =>
      /^\w[\w-]*$/.test(label) && !label.endsWith("-")
    );
}

/**
 * An address or a name to listen on, then further names for the same listener.
 */
export const hosts: Grammar<readonly string[]> = {
  takes: "an address or a name, then names",
  parse(text) {
    const found: string[] = [];
    for (const item of text.split(/[\s,]+/)) {
      const result = host.parse(item);
      if ("wanted" in result) return result;
      found.push(result.value);
    }
    return { value: found };
  },
};

/** The value of a `Host` field: a name or an address, with an optional port. */
export const authority: Grammar<string> = {
  takes: "a host, with a port if wanted",
  parse(text) {
    const [, name = "", port] = /^(.*?)(?::(\d{1,5}))?$/s.exec(text) ?? [];
    const bracketed = /^\[.*\]$/.test(name);
    const usable = bracketed || !name.includes(":");
    const result = host.parse(name);
    return usable && "value" in result && Number(port ?? 1) <= 65535
      ? { value: text.toLowerCase() }
      : { wanted: "is not a host: write app.example.com, or 10.0.0.5:3000" };
  },
};

/** The path of a file; it is opened later. */
export const file: Grammar<string> = {
  takes: "a file",
  parse(text) {
    return text.includes("\0")
      ? { wanted: "is not the path of a file" }
      : { value: text };
  },
};

/** Any text; it is checked elsewhere. */
export function anything(takes: string): Grammar<string> {
  return { takes, parse: (text) => ({ value: text }) };
}

/** A path to probe: begins with `/` and is sent as written. */
export const path: Grammar<string> = {
  takes: "a path",
  parse(text) {
    if (!text.startsWith("/")) {
      return {
        wanted: "does not begin with a slash: write a path like /health",
      };
    }
    const [, before = "", query = ""] = /^([^?]*)\??(.*)$/s.exec(text) ?? [];
    const fault = pathFault(before) ?? characterFault(query.replace(/\?/g, ""));
    return fault === undefined ? { value: text } : { wanted: fault };
  },
};

/**
 * Why `fetch` of either runtime would not send a path as written, if so. The
 * path begins with `/`.
 */
export function pathFault(text: string): string | undefined {
  if (text.includes("//")) return "has an empty path segment: write / for //";
  return text.split("/").some((part) => /^(?:\.|%2e){1,2}$/i.test(part))
    ? 'has a dot segment in its path: write the path without "." and ".."'
    : characterFault(text);
}

// RFC 3986 §3.3 `pchar`, and slashes. Other characters are encoded on the way,
// and differently: Bun encodes `^`, Deno does not.
function characterFault(text: string): string | undefined {
  return /^(?:[\w.~!$&'()*+,;=:@/-]|%[0-9a-f]{2})*$/i.test(text)
    ? undefined
    : "has a character that a path cannot hold: write it percent-encoded";
}

/** A list of status codes and ranges, such as `200-399,404`, as text. */
export const statusList: Grammar<string> = {
  takes: "codes and ranges",
  parse(text) {
    const items = text.split(",").map((item) => item.trim());
    const usable = items.every((item) => {
      const match = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(item);
      return match !== null && match[1]! <= (match[2] ?? match[1]!);
    });
    return usable ? { value: items.join(",") } : {
      wanted:
        "is not a list of status codes: write codes and ranges from 100 to 599, such as 200-399,404",
    };
  },
};

/**
 * A list of addresses and CIDRs, and of the words `loopback` and `private`.
 * Only checked here; the code that trusts an address parses it again.
 */
export const addressList: Grammar<readonly string[]> = {
  takes: "addresses, CIDRs, `loopback`, `private`",
  parse(text) {
    const items = text.split(/[\s,]+/).filter((item) => item !== "");
    const usable = items.every((item) =>
      item === "loopback" || item === "private" || parseCidr(item)
    );
    if (usable && items.length > 0) return { value: items };
    return {
      wanted:
        "is not a list of addresses: write addresses, CIDRs such as 10.0.0.0/8, loopback or private",
    };
  },
};

const POLICIES = [
  "round_robin",
  "least_conn",
  "random",
  "p2c",
  "ewma",
  "ip_hash",
  "uri_hash",
];

/** The name of a policy; a token follows `header:`, `cookie:` and `sticky:`. */
export const policy: Grammar<PolicyName> = {
  takes: [...POLICIES, "header:NAME", "cookie:NAME", "sticky:NAME"]
    .map((name) => `\`${name}\``).join(", "),
  parse(text) {
    if (POLICIES.includes(text)) return { value: text as PolicyName };
    const named = /^(header|cookie|sticky):(.*)$/s.exec(text);
    if (named === null) {
      const names = [...POLICIES, "header:NAME", "cookie:NAME", "sticky:NAME"];
      return { wanted: `is not a policy: write ${orList(names)}` };
    }
    return isToken(named[2]!) ? { value: text as PolicyName } : {
      wanted: `has no valid name: write ${
        named[1]
      }: and letters, digits or any of !#$%&'*+-.^_\`|~`,
    };
  },
};

/**
 * Whether the text is a token, such as a field or cookie name (RFC 9110
 * §5.6.2).
 */
export function isToken(text: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(text);
}

/** A secret that fits `Authorization: Bearer` and is hard to guess. */
export const secret: Grammar<string> = {
  takes: "16 to 512 visible characters",
  parse(text) {
    if (!/^[!-~]*$/.test(text)) {
      return { wanted: "is not valid: write visible ASCII without spaces" };
    }
    return text.length >= 16 && text.length <= 512 ? { value: text } : {
      wanted: `has ${text.length} characters: write 16 to 512 of visible ASCII`,
    };
  },
};

/** Joins words as in a sentence: `a, b or c`. */
export function orList(words: readonly string[]): string {
  const last = words.at(-1) ?? "";
  return words.length < 2
    ? last
    : `${words.slice(0, -1).join(", ")} or ${last}`;
}

/** A number with a unit. */
function quantity(
  noun: string,
  examples: string,
  likelyUnit: string,
  units: Record<string, number>,
  min: string,
  max: string,
): Grammar<number> {
  const amount = (text: string): number => {
    const [, digits, unit = ""] = /^(\d{1,15})([A-Za-z]+)$/.exec(text) ?? [];
    return Number(digits) * (units[unit] ?? NaN);
  };
  const [least, greatest] = [amount(min), amount(max)];
  if (!(least <= greatest) || (units === MS && greatest > MAX_TIMER_MS)) {
    throw new RangeError(`Cannot bound a ${noun}: "${min}" to "${max}"`);
  }
  return {
    takes: `\`${min}\` to \`${max}\``,
    bounds: { min: least, max: greatest, whole: true },
    parse(text) {
      const value = amount(text);
      if (value >= least && value <= greatest) return { value };
      const range = `${noun} from ${min} to ${max}`;
      if (/^\d+$/.test(text)) {
        const likely = amount(text + likelyUnit);
        const meant = likely >= least && likely <= greatest && likely > 0;
        return {
          wanted: `has no unit: write a ${range}, such as ` +
            (meant ? text + likelyUnit : examples),
        };
      }
      return {
        wanted: Number.isNaN(value)
          ? `is not a ${noun}: write a ${range}, such as ${examples}`
          : `is out of bounds: write a ${range}`,
      };
    },
  };
}
