/**
 * The dashboard.
 *
 * @module
 */

/** What the page is made from. */
export interface DashboardOptions {
  version: string;
  policy: string;
  nonce: string;
  changes: boolean;
}

export function dashboard({ version }: DashboardOptions): string {
  return `<!doctype html><title>Sluice ${version}</title>`;
}
