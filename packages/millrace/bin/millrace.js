#!/usr/bin/env node
// The `millrace` command: refuses a Node that is too old in one plain line, then hands over to start.mjs.
// Written in the oldest JavaScript (the folder's package.json says commonjs), so that any Node reaches that line.
"use strict";

var required = 24;
var running = process.versions.node;

if (parseInt(running, 10) < required) {
  var need = "millrace needs Node " + required + " or newer, and this is Node " + running + ". ";
  var remedy = "Install it from https://nodejs.org/en/download or with `nvm install " + required + "`.";
  console.error(need + remedy);
  process.exit(1);
}

require("./start.mjs");
