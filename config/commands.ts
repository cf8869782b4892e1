/**
 * The commands: flags that ask for something other than running the proxy.
 *
 * @module
 */

/** The flags that are not settings. They take no value. */
export const COMMANDS: Readonly<Record<string, string>> = {
  "--help": "Print this help",
  "--version": "Print the version",
  "--check":
    "Read the settings, ask each backend once, and print the answers, hints and the narrowest Deno permissions; exit 0, 1 if a backend fails, 2 if a setting is wrong",
};
