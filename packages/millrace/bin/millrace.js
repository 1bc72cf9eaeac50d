#!/usr/bin/env node
// The `millrace` command: refuses a Node that is too old in one plain line, then hands over to start.mjs.
// Written in the oldest JavaScript (the folder's package.json says commonjs), so that any Node reaches that line.
"use strict";

var required = 24;
var major = parseInt(process.versions.node, 10);

if (major < required) {
  console.error(
    "millrace needs Node " +
      required +
      " or newer, and this is Node " +
      process.versions.node +
      ". Install Node " +
      required +
      " (https://nodejs.org/en/download, or `nvm install " +
      required +
      "`) and run it again."
  );
  process.exit(1);
}

require("./start.mjs");
