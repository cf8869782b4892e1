/**
 * Samples as a table and as a picture.
 *
 * @module
 */

/** What was seen at one moment. */
export interface Sample {
  /** Seconds since the start. */
  at: number;
  /** Resident memory, in MB. */
  rss: number;
  descriptors: number;
  /** `sluice_requests_in_flight`. */
  inFlight: number;
  /** Share of one core since the last sample. */
  cpu: number;
  /** Requests that have ended since the start. */
  requests: number;
  /** Failures since the start that a restart or a reload does not explain. */
  unexplained: number;
}

const COLUMNS = [
  "at",
  "rss",
  "descriptors",
  "inFlight",
  "cpu",
  "requests",
  "unexplained",
] as const satisfies readonly (keyof Sample)[];

/** Comma-separated values, the names in the first line. */
export function csv(samples: readonly Sample[]): string {
  const rows = samples.map((sample) =>
    COLUMNS.map((name) => Number(sample[name].toFixed(3))).join()
  );
  return [COLUMNS.join(), ...rows].map((row) => `${row}\n`).join("");
}

const WIDTH = 800;
const HEIGHT = 160;
const LEFT = 60;

/** One panel for each of memory, descriptors and requests in flight. */
export function svg(title: string, samples: readonly Sample[]): string {
  const panels = (["rss", "descriptors", "inFlight"] as const).map(
    (name, i) => panel(name, samples, 30 + i * (HEIGHT + 40)),
  );
  const height = 30 + panels.length * (HEIGHT + 40);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${
    WIDTH + 2 * LEFT
  }" height="${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="${LEFT}" y="18" font-size="14">${title}</text>
${panels.join("\n")}
</svg>
`;
}

const LABELS = {
  rss: "resident memory (MB)",
  descriptors: "descriptors",
  inFlight: "requests in flight",
};

function panel(
  name: keyof typeof LABELS,
  samples: readonly Sample[],
  top: number,
): string {
  const end = Math.max(1, ...samples.map(({ at }) => at));
  const most = Math.max(1, ...samples.map((sample) => sample[name])) * 1.1;
  const points = samples.map((sample) => {
    const x = LEFT + sample.at / end * WIDTH;
    const y = top + HEIGHT * (1 - sample[name] / most);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  const base = top + HEIGHT;
  return `<polyline points="${LEFT},${top} ${LEFT},${base} ${
    LEFT + WIDTH
  },${base}" fill="none" stroke="#888"/>
<text x="${LEFT + 6}" y="${top + 12}">${LABELS[name]}</text>
<text x="${LEFT - 6}" y="${top + 10}" text-anchor="end">${
    most.toFixed(0)
  }</text>
<text x="${LEFT - 6}" y="${base}" text-anchor="end">0</text>
<text x="${LEFT + WIDTH}" y="${base + 14}" text-anchor="end">${
    (end / 60).toFixed(1)
  } min</text>
<polyline points="${points.join(" ")}" fill="none" stroke="#06c"/>`;
}
