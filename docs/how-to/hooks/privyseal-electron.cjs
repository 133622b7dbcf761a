// Signs one file with Privy Seal, for @electron/windows-sign ("hookModulePath") and for electron-builder
// ("win.signtoolOptions.sign"). Both call it once a file. Which service and key: see sign-from-a-build.md.
//
// electron-builder calls it once for each of its hashes, for an MSI with "sha1" alone. What is signed here is signed by
// SHA-256, whatever it says, and once: the second call says "isNest".
"use strict";
const { execFile } = require("node:child_process");

const PROGRAM = process.env.PRIVYSEAL_SIGNTOOL || "privyseal-signtool";

module.exports = function sign(asked) {
  const file = typeof asked === "string" ? asked : asked.path; // windows-sign gives the path, electron-builder an object
  if (asked.isNest) return Promise.resolve();
  return new Promise((done, refused) => {
    execFile(PROGRAM, ["sign", "/fd", "sha256", file], { maxBuffer: 1 << 20 }, (error, stdout, stderr) => {
      if (error === null) return done();
      refused(new Error(`${PROGRAM} did not sign ${file}: ${String(stderr).trim() || error.message}`));
    });
  });
};
module.exports.default = module.exports;
