/**
 * The commands: flags that ask for something other than running the proxy.
 *
 * @module
 */

/** The flags that are not settings. They take no value. */
export const COMMANDS: Readonly<Record<string, string>> = {
  "--help": "Print this",
  "--version": "Print the version",
  "--check":
    "Read the settings, probe each backend once, print what was found and the narrowest Deno permissions; exit 0, 1 when a backend does not answer well, 2 when a setting is wrong",
};
