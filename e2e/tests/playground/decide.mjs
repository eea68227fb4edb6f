// Decides cases with the built playground, as a page does: `node decide.mjs FOLDER < cases > answers`.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const rules = await import(pathToFileURL(`${folder}/rules.js`));
rules.initSync({ module: readFileSync(`${folder}/rules_bg.wasm`) });
const cases = JSON.parse(readFileSync(0, "utf8"));
const answers = cases.map(({ config, method, url, headers, client, now }) =>
  JSON.parse(rules.explain(config, method, url, headers.join("\n"), client ?? "", now)));
process.stdout.write(JSON.stringify(answers));
