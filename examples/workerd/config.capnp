# Run it: BACKENDS=http://127.0.0.1:3000,http://127.0.0.1:3001 \
#   npx workerd serve examples/workerd/config.capnp
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "sluice", worker = .sluice),
    # Where `fetch` may connect to; the default is public addresses alone.
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8080", http = (), service = "sluice")],
);

const sluice :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "sluice.js", esModule = embed "../../dist/sluice.js"),
  ],
  bindings = [(name = "BACKENDS", fromEnvironment = "BACKENDS")],
  compatibilityDate = "2026-01-01",
);
