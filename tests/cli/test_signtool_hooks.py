"""Makers of installers and packagers sign with ``privyseal-signtool``, through the hooks that they have for signtool.

NSIS is Debian's own ``makensis``. The hook for Electron is the file that the documentation ships, called as
``@electron/windows-sign`` 2.1.0 and electron-builder 26 call it (their sources: ``sign-with-hook.js`` and
``windowsSignToolManager.js``), by the Node.js that Playwright brings along; both packagers were run by hand.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from playwright._impl._driver import compute_driver_executable

Shell = tuple[Path, Mapping[str, str]]
HOOK = Path(__file__).parents[2] / "docs" / "how-to" / "hooks" / "privyseal-electron.cjs"

SCRIPT = """
Unicode true
Name "Hooked"
OutFile "setup.exe"
InstallDir "$PROGRAMFILES\\Hooked"
!finalize 'privyseal-signtool sign /f both.pem /fd sha256 /tr "{tsa}" /td sha256 /d "Hooked" "%1"' = 0
!uninstfinalize 'privyseal-signtool sign /f both.pem /fd sha256 "%1"' = 0
!uninstfinalize 'cp "%1" signed-uninstaller.exe' = 0
Section
  SetOutPath "$INSTDIR"
  File app.exe
  WriteUninstaller "$INSTDIR\\uninstall.exe"
SectionEnd
Section Uninstall
  Delete "$INSTDIR\\app.exe"
SectionEnd
"""


def run(shell: Shell, *command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    folder, environment = shell
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**environment, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def judged_good(shell: Shell, name: str) -> bool:
    """Ask osslsigncode, which knows nothing of us."""
    done = run(shell, "osslsigncode", "verify", "-CAfile", "roots.pem", "-TSA-CAfile", "roots.pem", name)
    return done.returncode == 0 and "Signature verification: ok" in done.stdout


def test_nsis_signs_installer_and_uninstaller(shell: Shell) -> None:
    folder, environment = shell
    (folder / "both.pem").write_bytes((folder / "key.pem").read_bytes() + (folder / "chain.pem").read_bytes())
    (folder / "both.pem").chmod(0o600)
    (folder / "hooked.nsi").write_text(SCRIPT.replace("{tsa}", environment["TSA"]))
    done = run(shell, "makensis", "-V4", "hooked.nsi", PRIVYSEAL_REHEARSAL_ANCHORS=str(folder / "root.pem"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Successfully signed: ") == 2
    assert judged_good(shell, "setup.exe") and judged_good(shell, "signed-uninstaller.exe")
    run(shell, "7z", "x", "-y", "-ounpacked", "setup.exe")
    assert (folder / "unpacked" / "app.exe").read_bytes() == (folder / "app.exe").read_bytes()


def test_nsis_stops_where_signing_fails(shell: Shell) -> None:
    """Its hook compares the exit code: no installer is called done that is not signed."""
    folder, environment = shell
    (folder / "hooked.nsi").write_text(SCRIPT.replace("{tsa}", environment["TSA"]))  # and there is no both.pem
    done = run(shell, "makensis", "-V4", "hooked.nsi")
    assert done.returncode != 0
    assert "SignTool Error: both.pem cannot be read" in done.stdout + done.stderr


CALLS = """
const sign = require(process.argv[1]);
(async () => {
  await (sign.default || sign)("app.exe");                                    // @electron/windows-sign
  await sign({path: "app32.exe", hash: "sha1", isNest: false}, null);          // electron-builder, twice a file
  await sign({path: "app32.exe", hash: "sha256", isNest: true}, null);
  await sign({path: "setup.msi", hash: "sha1", isNest: false}, null);          // and once for an MSI
  let refused = null;
  try { await sign("notes.txt"); } catch (error) { refused = error.message; }
  console.log(JSON.stringify({refused}));
})();
"""


def test_the_hook_for_electron(service_shell: Shell) -> None:
    folder, _ = service_shell
    with (folder / "app32.exe").open("ab") as program_file:
        program_file.write(os.urandom(32))
    os.mkdir(folder / "receipts")
    node = compute_driver_executable()
    program = node[0] if isinstance(node, tuple) else node
    done = run(service_shell, program, "-e", CALLS, HOOK, PRIVYSEAL_RECEIPTS=str(folder / "receipts"))
    assert done.returncode == 0, done.stderr
    refused = json.loads(done.stdout)["refused"]
    assert "did not sign notes.txt" in refused and "is of no format that can be signed here" in refused
    assert len(list((folder / "receipts").iterdir())) == 3
    for name in ("app.exe", "app32.exe", "setup.msi"):
        checked = run(
            service_shell, "osslsigncode", "verify", "-CAfile", "ca.pem", "-TSA-CAfile", "ca.pem", "-in", name
        )
        assert "Signature verification: ok" in checked.stdout, checked.stdout
        assert "Number of verified signatures: 1" in checked.stdout
        assert not (folder / f"{name}.tlog-proof").exists()
