import { readFile } from "node:fs/promises";
import { makeCertificate } from "./certificate.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** For tests: a certificate of its own with its key, in PEM. */
export async function testCertificate(): Promise<{ cert: string; key: string }> {
  await using folder = await temporaryFolder();
  const { pem, keyFile } = await makeCertificate(folder.path);
  return { cert: pem, key: await readFile(keyFile, "utf8") };
}
