// Prints what VS Code's service for JSON says of a file and of one with mistakes, and what it offers.
const fs = require("node:fs");
const { fileURLToPath, pathToFileURL } = require("node:url");
const { getLanguageService, TextDocument } = require("vscode-json-languageservice");

const service = getLanguageService({
  schemaRequestService: async (address) => fs.readFileSync(fileURLToPath(address), "utf8"),
  workspaceContext: { resolveRelativePath: (path, resource) => new URL(path, resource).href },
});
service.configure({ validate: true });

async function told(path, text, offset) {
  const document = TextDocument.create(pathToFileURL(path).href, "json", 1, text);
  const parsed = service.parseJSONDocument(document);
  const found = await service.doValidation(document, parsed);
  const offered = await service.doComplete(document, document.positionAt(offset), parsed);
  return { problems: found.map((each) => each.message), offered: offered.items.map((each) => each.label) };
}

(async () => {
  const [path, text, at] = process.argv.slice(2);
  process.stdout.write(JSON.stringify(await told(path, text, Number(at))));
})();
