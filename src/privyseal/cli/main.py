"""The command ``privyseal``: which commands there are, and what a shell is told when one of them ends.

The manners of all commands, of which this file keeps the second half and ``output.py`` the first:

* Exit codes are a contract (``privyseal --help`` lists them); this is the only place that makes one out of an error.
* A refusal is one sentence on stderr, and a second line with what to do about it, if anything can be done. No
  traceback.
* What nobody foresaw is our bug: exit 1, one sentence, and ``--debug`` shows the traceback to send with the report. The
  sentence names the kind of the exception only, for its text may hold what is nobody's business.
* Several files: 9 when some are done and some are not, the common code when all failed alike, and otherwise the code of
  the failure that running again cures least.
* ``privyseal --version`` and ``--help`` load none of the commands: a build starts this program once a file.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from privyseal import __version__
from privyseal.cli import streams
from privyseal.cli.lifetime import collect_from_here, leave
from privyseal.errors import BadInput, PrivySealError, Unavailable

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("privyseal.cli.init:init", "Make a new service in a directory."),
    "backup": ("privyseal.cli.backup:backup", "Back a service up, look into a backup, restore one."),
    "migrate": ("privyseal.cli.migrate:migrate", "Bring the records to this program's schema."),
    "serve": ("privyseal.cli.serve:serve", "Run the service that lives in a directory."),
    "demo": ("privyseal.cli.demo:demo", "Sign and check real programs with a service of its own."),
    "sign": ("privyseal.cli.sign:sign", "Sign files, check the outcome, keep the receipts."),
    "verify": ("privyseal.cli.verify:verify", "Check signed files and their receipts, offline."),
    "timestamp": (
        "privyseal.cli.timestamp:timestamp",
        "Timestamp files that are signed already, or renew their timestamps.",
    ),
    "lint": ("privyseal.cli.lint:lint_command", "Hold certificates and their like against the Baseline Requirements."),
    "remove": ("privyseal.cli.remove:remove", "Take all signatures off files."),
    "inspect": ("privyseal.cli.inspect:inspect", "Say what is in a file and how it is signed."),
    "request": ("privyseal.cli.request:request", "Look at requests to sign, wait for one, take one back."),
    "approve": ("privyseal.cli.approve:approve", "Look at what would be signed, and agree to it with your own key."),
    "deny": ("privyseal.cli.deny:deny", "Say no to a request that waits for approval; that is final."),
    "key": ("privyseal.cli.key:key", "List, show, amend and certify Key Pairs."),
    "cert": ("privyseal.cli.cert:cert", "Order, read, accept, compare, plan, list and revoke certificates."),
    "log": ("privyseal.cli.audit:log", "Show, prove and check what the log says."),
    "witness": ("privyseal.cli.witness:witness", "Run a witness, which cosigns heads of the logs it knows."),
    "role": ("privyseal.cli.role:role", "Say what an organisation is, and what binds it."),
    "ballot": ("privyseal.cli.ballot:ballot", "Look at the ballots behind the Requirements."),
    "timeline": ("privyseal.cli.timeline:timeline", "Say what took and takes force when."),
    "what-if": ("privyseal.cli.what_if:what_if", "Say what a ballot would change, for whom, and when."),
    "duties": ("privyseal.cli.duties:duties", "Say what is due, and what was missed."),
    "audit-report": ("privyseal.cli.audit_report:audit_report", "Say what an audit report has and lacks."),
    "survey": ("privyseal.cli.survey:survey", "Look for Signing Services that nobody told of."),
    "evidence": ("privyseal.cli.evidence:evidence", "Take in documents that show what no machine sees."),
    "declare": ("privyseal.cli.declare:declare", "State facts that only people know."),
    "report": (
        "privyseal.cli.report:report",
        "Report on every requirement to an auditor, check such a report, draw a sample.",
    ),
    "requirement": ("privyseal.cli.requirement:requirement", "Say what the Requirements ask, and what was found."),
    "subscriber": ("privyseal.cli.subscriber:subscriber", "Take in Subscribers, and say how they stand."),
    "member": ("privyseal.cli.member:member", "Say who is here, who comes and who left."),
    "agreement": ("privyseal.cli.agreement:agreement", "Keep papers, and say who accepted them."),
    "party": ("privyseal.cli.party:party", "Keep CAs, resellers and partners."),
    "gate": ("privyseal.cli.gate:gate", "Say what refuses signatures, and override it for a while."),
    "trust": ("privyseal.cli.trust:trust_group", "Say whose runs act as which member, with no stored secret."),
    "grant": ("privyseal.cli.grant:grant_group", "Agree beforehand to so many signatures for one workflow."),
    "token": ("privyseal.cli.token:token", "Give machines static tokens, list and revoke them."),
    "freeze": ("privyseal.cli.freeze:freeze", "Stop a key, a policy or a Subscriber at once."),
    "thaw": ("privyseal.cli.thaw:thaw", "Agree that what is frozen signs again."),
    "who-signed": ("privyseal.cli.who_signed:who_signed", "Say who asked, who agreed, and what was signed beside."),
    "incident": ("privyseal.cli.incident:incident", "Report Suspect Code or a compromise, and what was done."),
    "webhook": ("privyseal.cli.webhook:webhook", "Have what happens told to a URL."),
    "policy": ("privyseal.cli.policy:policy", "Say who may have what signed, and see what a change would do."),
    "login": ("privyseal.cli.login:login", "Sign in, in a browser, and let this command line in."),
    "logout": ("privyseal.cli.login:logout", "End the command line's session."),
    "whoami": ("privyseal.cli.login:whoami", "Say who you are here, and by which factors."),
    "invite": ("privyseal.cli.invite:invite", "Invite a member to sign in, at the service's machine."),
    "tsa": ("privyseal.cli.tsa:tsa", "Give the stamper a new timestamp key, and remove old ones before witnesses."),
    "doctor": ("privyseal.cli.doctor:doctor", "Find out what is wrong with a service."),
}
"""Every command: where it is, and the line that ``--help`` shows, which is the first of its own help."""

EXIT_CODES = """\b
0  all that was asked is done and checked
1  a bug in Privy Seal
2  wrong usage, configuration or input
3  verification says no
4  not authenticated
5  refused by policy or by a Requirement
6  waiting for approval
7  denied, cancelled or frozen
8  a service did not answer: safe to run again
9  some files done, some not
130  interrupted; nothing half-written is left
"""
"""The exit codes as ``--help`` shows them, and all that scripts are promised; ``\\b`` keeps click from wrapping it."""

BUG, USAGE, WAITING, SOME, INTERRUPTED, TERMINATED, PIPE_CLOSED = 1, 2, 6, 9, 130, 143, 141
"""Exit codes by name; the last three are those of a shell, 128 and the number of a signal."""

CURED_LEAST_BY_RUNNING_AGAIN = (1, 4, 5, 7, 3, 2, 6, 8)
"""Of several failures the code of the first of these is told, so that no script retries what a person must put
right."""


_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}
"""What the operating system lacks for the moment: running again is safe, and may help."""


class LazyGroup(click.Group):
    """A group that imports a command only when it is the one that is run."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; NoSuchCommand names those of the table that look like what was typed."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:  # click looks only among commands that are loaded
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None where the table has none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        collect_from_here()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes, which belong to every command."""
        with formatter.section("Exit codes"):
            formatter.write_text(EXIT_CODES)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="privyseal %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback when something goes wrong. Goes with every command.")
def privyseal(debug: bool) -> None:
    """Sign code, prove it, and check it.

    \b
    privyseal sign setup.exe            in place; writes setup.exe.tlog-proof
    privyseal verify setup.exe --trust ca.pem
    privyseal COMMAND --help            what one command takes
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; ``arguments`` are the program's own where none are given."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    streams.complete()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # a library's word to programmers about a file's contents is not for users
    signal.signal(signal.SIGTERM, _terminated)
    code = run(given)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the work is over, and so is what an interrupt could change
    if arguments is None:
        leave(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error ends here."""
    debug, given = _without_debug(arguments)
    try:
        code = _invoke(given)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        streams.forsake(sys.stdout)  # its reader has left, as `head` does
        return PIPE_CLOSED
    except (KeyboardInterrupt, click.Abort):
        return _told(given, "interrupted", "Interrupted; nothing half-written is left.", None, INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "privyseal"
        hint = f"{where} --help" if error.ctx is None or error.ctx.help_option_names else None
        return _told(given, "misused", _sentence(error.format_message()), hint, USAGE)
    except click.ClickException as error:
        return _told(given, "misused", _sentence(error.format_message()), None, USAGE)
    except PrivySealError as error:
        if debug:
            _traceback()
        known = error.request_id if error.status >= 500 else None
        text = f"{error.detail} [request id {known}]" if known else error.detail
        return _told(given, error.code, text, error.hint, error.exit)
    except OSError as error:
        if debug:
            _traceback()
        refused = from_os_error(error)
        return _told(given, refused.code, refused.detail, refused.hint, refused.exit)
    except Exception as error:
        if debug:
            _traceback()
        if isinstance(error, UnicodeEncodeError) and (strange := _no_text(given)) is not None:
            return _told(given, "misused", f"{strange} is no text in UTF-8, and some was expected.", None, USAGE)
        hint = "please report it, with what --debug shows in addition"
        return _told(given, "internal", f"This is a bug in Privy Seal ({_kind(error)}).", hint, BUG)


def exit_code(outcomes: Iterable[object]) -> int:
    """Fold what became of several files into one exit code: None is done, an error its own, and anything else waits."""
    codes = {_code(outcome) for outcome in outcomes}
    if len(codes) <= 1:
        return codes.pop() if codes else 0
    if 0 in codes:
        return SOME
    return next(code for code in CURED_LEAST_BY_RUNNING_AGAIN if code in codes)


def _code(outcome: object) -> int:
    return 0 if outcome is None else outcome.exit if isinstance(outcome, PrivySealError) else WAITING


def from_os_error(error: OSError, subject: str | None = None) -> PrivySealError:
    """Return what the operating system refused as an error of ours: a sentence, with the path if one is known.

    Unavailable where it lacks something for the moment (a full disk), else BadInput.
    """
    from privyseal.cli.output import shown_path

    about = subject or (shown_path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None)
    why = error.strerror or type(error).__name__
    kind = Unavailable if error.errno in _TROUBLE else BadInput
    return kind(f"{about}: {why}." if about else f"{why}.")


def _invoke(arguments: list[str]) -> int:
    try:
        with privyseal.make_context("privyseal", arguments) as context:
            value: Any = privyseal.invoke(context)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    if value is None or isinstance(value, int):
        return value or 0
    return exit_code(value)


def _without_debug(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Take ``--debug`` out, wherever it stands before a ``--``: people add it at the end of the line that failed."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument != "--debug"]
    return len(options) < end, options + list(arguments[end:])


def _told(arguments: Sequence[str], code: str, text: str, hint: str | None, exit_code: int) -> int:
    """Say on stderr, and as JSON where that was asked for, why the command failed; return its exit code."""
    from privyseal.cli.output import json_mode_of, put_error, tell

    tell(f"privyseal: {text}", *([f"  hint: {hint}"] if hint else []))
    mode = json_mode_of(arguments)
    if mode is not None and not streams.lost(sys.stdout):
        try:
            put_error(mode, code, text, hint, exit_code)
        except OSError:
            streams.forsake(sys.stdout)  # it was told on stderr, and the exit code says it, too
    return exit_code


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."


def _no_text(arguments: Sequence[str]) -> str | None:
    """Return the last argument that is not in UTF-8, as it can be shown; paths may be so, and all else may not."""
    from privyseal.cli.output import shown_path

    strange = [each for each in arguments if any("\udc80" <= one <= "\udcff" for one in each)]
    return shown_path(strange[-1]) if strange else None


def _kind(error: Exception) -> str:
    """Name an unforeseen exception and the line it came from, without its text."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f" at {os.path.basename(last.tb_frame.f_code.co_filename)}:{last.tb_lineno}" if last else ""
    return f"{type(error).__name__}{where}"


def _traceback() -> None:
    import traceback  # only a failure under --debug needs it

    traceback.print_exc()


def _terminated(_signal: int, _frame: object) -> NoReturn:
    """Leave in order when asked to end, so that temporary files are tidied up."""
    raise SystemExit(TERMINATED)
