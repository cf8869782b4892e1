/**
 * Certificates made with openssl for one test, good ones and bad ones.
 *
 * @module
 */

/** A certificate and its key, as PEM text. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority, in its own folder. */
export class Authority implements AsyncDisposable {
  #serial = 0;

  private constructor(
    /** The folder of all files. */
    readonly folder: string,
    /** The authority's own certificate, as PEM text. */
    readonly cert: string,
  ) {}

  /** Makes one. */
  static async make(): Promise<Authority> {
    const folder = await Deno.makeTempDir({ prefix: "sluice-tls-" });
    await openssl(folder, "req", "-x509", ...NEW_KEY, "-keyout", "ca.key", [
      "-out",
      "ca.pem",
      "-subj",
      "/CN=Sluice test authority",
      "-days",
      "2",
    ]);
    return new Authority(
      folder,
      await Deno.readTextFile(`${folder}/ca.pem`),
    );
  }

  /** Signs a new certificate for these names, valid from now for `days`. */
  async sign(names: string, days = 2): Promise<Pair> {
    const name = `leaf${this.#serial++}`;
    const { folder } = this;
    await openssl(folder, "req", ...NEW_KEY, "-keyout", `${name}.key`, [
      "-out",
      `${name}.csr`,
      "-subj",
      `/CN=${name}`,
    ]);
    await Deno.writeTextFile(
      `${folder}/${name}.ext`,
      `subjectAltName=${names}\nbasicConstraints=CA:FALSE\n`,
    );
    await openssl(folder, "x509", "-req", "-in", `${name}.csr`, [
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-days",
      String(days),
      "-extfile",
      `${name}.ext`,
      "-out",
      `${name}.pem`,
    ]);
    return {
      cert: await Deno.readTextFile(`${folder}/${name}.pem`),
      key: await Deno.readTextFile(`${folder}/${name}.key`),
    };
  }

  /** Writes a text into the folder; gives its path. */
  async write(name: string, text: string): Promise<string> {
    const path = `${this.folder}/${name}`;
    await Deno.writeTextFile(path, text);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Names of this machine. */
export const HERE = "DNS:localhost,DNS:sluice.test,IP:127.0.0.1,IP:::1";

const NEW_KEY = [
  "-newkey",
  "ec",
  "-pkeyopt",
  "ec_paramgen_curve:prime256v1",
  "-nodes",
];

async function openssl(
  cwd: string,
  ...args: (string | readonly string[])[]
): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", {
    args: args.flat(),
    cwd,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}
