// Every link from one page of this repository to another leads somewhere, heading included.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { posix } from "node:path";
import { test } from "node:test";

import { readRepositoryFile, repositoryFiles, repositoryRoot } from "./repository-files.ts";

test("relative links in Markdown lead to a file, and to a heading of it", () => {
  const broken = repositoryFiles(/\.md$/).flatMap((page) =>
    linksOf(page)
      .filter((link) => !leadsSomewhere(page, link))
      .map((link) => `${page}: ${link}`),
  );
  assert.deepEqual(broken, []);
});

function linksOf(page: string): string[] {
  const prose = withoutCode(readRepositoryFile(page));
  return [...prose.matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)|^\[[^\]]+\]:\s*(\S+)/gm)]
    .map((match) => match[1] ?? match[2] ?? "")
    .filter((link) => !/^[a-z][a-z+.-]*:/i.test(link));
}

function leadsSomewhere(page: string, link: string): boolean {
  const [path = "", heading] = link.split("#");
  const target = path === "" ? page : posix.join(posix.dirname(page), decodeURIComponent(path));
  if (target.startsWith("..") || !existsSync(`${repositoryRoot}${target}`)) return false;
  return heading === undefined || !target.endsWith(".md") || headingsOf(target).includes(heading);
}

/** The names GitHub gives to headings: lower case, punctuation gone, spaces as dashes. */
function headingsOf(page: string): string[] {
  return [...withoutCode(readRepositoryFile(page), /^```[^]*?^```/gm).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)].map(
    (match) =>
      (match[1] ?? "")
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-"),
  );
}

function withoutCode(text: string, code = /^```[^]*?^```|`[^`\n]*`/gm): string {
  return text.replaceAll(code, "");
}
