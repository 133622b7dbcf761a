"""Where the client's settings come from, and what is refused on the way."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from privyseal.cli import profile
from privyseal.cli.profile import ENVIRONMENT, load
from privyseal.errors import Misused


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


@pytest.fixture(autouse=True)
def no_system_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whatever this machine has in /etc, these tests bring their own."""
    system = tmp_path / "etc" / "config.toml"
    monkeypatch.setattr(profile, "SYSTEM_FILE", system)
    return system


def test_each_layer_beats_the_next(tmp_path: Path, no_system_file: Path) -> None:
    """Option > environment > privyseal.toml > user file > /etc, setting by setting."""
    write(no_system_file, 'url = "http://5"\nsubscriber = "s5"\nkey = "k5"\nlog_policy = "p5"\n')
    write(tmp_path / "home/.config/privyseal/config.toml", 'url = "http://4"\nsubscriber = "s4"\nkey = "k4"\n')
    write(tmp_path / "work/privyseal.toml", 'url = "http://3"\nsubscriber = "s3"\n')
    deep = tmp_path / "work/a/b"
    deep.mkdir(parents=True)
    environment = {"HOME": str(tmp_path / "home"), "PRIVYSEAL_URL": "http://2"}
    found = load({"key": "k1"}, None, environment=environment, folder=deep)
    assert (found.url, found.subscriber, found.key) == ("http://2", "s3", "k1")
    assert found.log_policy == no_system_file.parent / "p5"
    assert found.origins["subscriber"] == str(tmp_path / "work/privyseal.toml")
    assert load({}, None, environment={"HOME": str(tmp_path / "home")}, folder=deep).key == "k4"


def test_xdg_config_home_is_obeyed(tmp_path: Path) -> None:
    """$XDG_CONFIG_HOME takes the place of ~/.config."""
    write(tmp_path / "x/privyseal/config.toml", 'key = "here"\n')
    assert load({}, None, environment={"XDG_CONFIG_HOME": str(tmp_path / "x")}, folder=tmp_path).key == "here"


def test_a_profile_named_by_its_path_is_complete(tmp_path: Path) -> None:
    """--profile D/client.toml: no other file is asked for anything."""
    write(tmp_path / "privyseal.toml", 'key = "other"\n')
    client = write(tmp_path / "d/client.toml", 'url = "http://127.0.0.1:1"\ntoken = "t"\ntrust = "ca.pem"\n')
    found = load({}, "d/client.toml", environment={}, folder=tmp_path)
    assert (found.url, found.token, found.key) == ("http://127.0.0.1:1", "t", None)
    assert found.trust == (client.parent / "ca.pem",)


def test_a_profile_named_by_a_table_stands_on_its_files_other_settings(tmp_path: Path) -> None:
    """[profile.staging] replaces what it names and keeps the rest of its file."""
    write(tmp_path / "privyseal.toml", 'subscriber = "acme"\nkey = "release"\n[profile.staging]\nkey = "test"\n')
    for found in (
        load({}, "staging", environment={}, folder=tmp_path),
        load({}, None, environment={"PRIVYSEAL_PROFILE": "staging"}, folder=tmp_path),
    ):
        assert (found.subscriber, found.key) == ("acme", "test")


def test_an_unknown_profile_says_which_there_are(tmp_path: Path) -> None:
    """A name that no file has is Misused and lists the names there are."""
    write(tmp_path / "privyseal.toml", "[profile.staging]\n[profile.production]\n")
    with pytest.raises(Misused, match="there are production, staging"):
        load({}, "stagign", environment={}, folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys = 1\n", "unknown field `keys`"),
        ("[profile.a]\nnope = 1\n", "unknown field `nope`"),
        ("key = 1\n", "Expected `str"),
        ("key = \n", "is not TOML"),
        ('[profile.a.b]\nkey = "x"\n', "unknown field `b`"),
    ],
)
def test_a_broken_file_is_misused_and_named(tmp_path: Path, text: str, said: str) -> None:
    """A file that says what we do not know is refused, never read half."""
    write(tmp_path / "privyseal.toml", text)
    with pytest.raises(Misused, match=said) as refused:
        load({}, None, environment={}, folder=tmp_path)
    assert str(tmp_path / "privyseal.toml") in refused.value.detail


def test_a_huge_or_binary_file_is_refused(tmp_path: Path) -> None:
    """Neither 65 KiB of anything nor octets that are no UTF-8 are configuration."""
    path = write(tmp_path / "c.toml", "#" * (profile.LARGEST_FILE + 1))
    with pytest.raises(Misused, match="larger than 64 KiB"):
        load({}, str(path), environment={})
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Misused, match="is not TOML"):
        load({}, str(path), environment={})
    with pytest.raises(Misused, match=r"cannot be read: Is a directory\."):
        load({}, f"{tmp_path}/", environment={})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_token_that_others_can_read_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    """A token in a file is a secret; the refusal holds the chmod to run."""
    path = write(tmp_path / "it's mine.toml", '[profile.unused]\ntoken = "sesame"\n', mode)
    with pytest.raises(Misused, match=r"holds a token and others can read it \(mode") as refused:
        load({}, str(path), environment={})
    assert refused.value.hint is not None and refused.value.hint.startswith("run: chmod 600 ")
    assert "sesame" not in str(refused.value)
    subprocess.run(["bash", "-c", refused.value.hint.removeprefix("run: ")], check=True)
    load({}, str(path), environment={})


def test_a_file_without_a_token_may_be_read_by_all(tmp_path: Path) -> None:
    """privyseal.toml in a repository is public."""
    write(tmp_path / "privyseal.toml", 'url = "https://seal.example.org"\n', 0o644)
    assert load({}, None, environment={}, folder=tmp_path).url == "https://seal.example.org"


@pytest.mark.parametrize("setting", ["ca", "client_key"])
def test_what_one_believes_and_is_goes_with_the_url_beside_it(tmp_path: Path, setting: str) -> None:
    """A stranger's privyseal.toml may not name the CA by which our own service would be known, nor lend our key out."""
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "x")}
    user = write(tmp_path / "x/privyseal/config.toml", f'url = "https://good.example"\n{setting} = "mine.pem"\n')
    assert getattr(load({}, None, environment=environment, folder=tmp_path), setting) == user.parent / "mine.pem"
    found = write(tmp_path / "privyseal.toml", f'{setting} = "evil.pem"\n')
    with pytest.raises(Misused, match=rf"The {setting} in .*privyseal\.toml is not meant for the url of"):
        load({}, None, environment=environment, folder=tmp_path)
    found.write_text('url = "https://evil.example"\n')
    with pytest.raises(Misused, match=rf"The {setting} in .*config\.toml is not meant for the url of"):
        load({}, None, environment=environment, folder=tmp_path)


def test_a_token_in_a_file_does_not_go_to_the_url_of_another_file(tmp_path: Path) -> None:
    """A privyseal.toml in somebody's repository cannot lead the user's token to its own server."""
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "x")}
    user = write(tmp_path / "x/privyseal/config.toml", 'url = "https://good.example"\ntoken = "t"\n')
    assert load({}, None, environment=environment, folder=tmp_path).token == "t"
    write(tmp_path / "privyseal.toml", 'url = "https://evil.example"\n', 0o644)
    with pytest.raises(Misused, match="not meant for the url of"):
        load({}, None, environment=environment, folder=tmp_path)
    assert load({"url": "https://mine.example/"}, None, environment=environment, folder=tmp_path).token == "t"
    write(tmp_path / "privyseal.toml", 'url = "https://good.example/"\n', 0o644)
    assert load({}, None, environment=environment, folder=tmp_path).token == "t"
    write(tmp_path / "privyseal.toml", 'url = "https://evil.example"\n', 0o644)
    write(user, 'token = "t"\n')
    with pytest.raises(Misused, match="not meant for"):
        load({}, None, environment=environment, folder=tmp_path)
    given = load({}, None, environment={"PRIVYSEAL_TOKEN": "given"}, folder=tmp_path)
    assert (given.token, given.url) == ("given", "https://evil.example")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_found_file_of_somebody_else_is_not_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/tmp/privyseal.toml of another user does not choose whom we trust; named explicitly it does."""
    path = write(tmp_path / "privyseal.toml", 'trust = "ca.pem"\n', 0o644)
    os.chown(path, 12345, 12345)
    with pytest.raises(Misused, match="not obeyed"):
        load({}, None, environment={}, folder=tmp_path)
    assert load({}, str(path), environment={}).trust
    os.chown(path, 0, 0)
    path.chmod(0o646)
    with pytest.raises(Misused, match="everybody may write it"):
        load({}, None, environment={}, folder=tmp_path)


def test_lists_of_paths_come_in_every_shape(tmp_path: Path) -> None:
    """One path, several paths, and the colon of PATH all work, relative to where they stand."""
    path = write(tmp_path / "c.toml", 'trust = ["a.pem", "/b.pem"]\ncrl = "c.crl"\n')
    found = load({}, str(path), environment={})
    assert (found.trust, found.crl) == ((tmp_path / "a.pem", Path("/b.pem")), (tmp_path / "c.crl",))
    found = load({}, None, environment={"PRIVYSEAL_TRUST": "x.pem:y.pem"}, folder=tmp_path)
    assert found.trust == (tmp_path / "x.pem", tmp_path / "y.pem")
    assert load({"trust": ("o.pem",)}, None, environment={}, folder=tmp_path).trust == (tmp_path / "o.pem",)


def test_what_is_missing_is_asked_for_in_words() -> None:
    """A setting nobody gave names its option and its variable; an empty variable is none."""
    empty = load({}, None, environment=dict.fromkeys(ENVIRONMENT.values(), ""), folder=Path("/"))
    with pytest.raises(Misused, match=r"No url is configured\. \(give --url, PRIVYSEAL_URL"):
        empty.need("url")


def test_no_secret_in_a_repr(tmp_path: Path) -> None:
    """A profile may land in a traceback; its token does not."""
    found = load({}, None, environment={"PRIVYSEAL_TOKEN": "sesame"}, folder=tmp_path)
    assert found.token == "sesame" and "sesame" not in repr(found)


def test_the_environment_goes_before_a_named_profile(tmp_path: Path) -> None:
    """The contract's order is option, environment, file; a profile is a file, wherever its name came from."""
    write(tmp_path / "d/client.toml", 'url = "http://127.0.0.1:1"\ntoken = "t"\n')
    for chosen, more in (("d/client.toml", {}), (None, {"PRIVYSEAL_PROFILE": "d/client.toml"})):
        environment = {"PRIVYSEAL_URL": "http://127.0.0.1:2", **more}
        found = load({}, chosen, environment=environment, folder=tmp_path)
        assert (found.url, found.token) == ("http://127.0.0.1:2", "t")
