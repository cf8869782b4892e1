// Do two strict readers read a response in the same way? The long form of
// http/client_fuzz_test.ts: deno run testing/fuzz_answers.ts [COUNT] [SEED]

import { compareAnswers } from "./compare_answers.ts";

const count = Number(Deno.args[0] ?? 100_000);
const seed = Number(Deno.args[1] ?? Date.now() % 1e9);
const { refused, stricter } = await compareAnswers(seed, count);
console.log(
  `seed ${seed}: ${count} answers, ${refused} refused, none that the other ` +
    `reading refuses was passed on, ${stricter} refused that it reads`,
);
