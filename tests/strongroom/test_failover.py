"""Real failovers of PostgreSQL under load: with a synchronous standby nothing is lost; with an asynchronous one the
database comes back behind what was published, which is refused, and rolled forward. Neither forks the log."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.strongroom.cluster import Cluster, folder, free_port
from tests.strongroom.processes import wait_until
from tests.strongroom.test_logger_process import Load, audit
from tests.strongroom.test_takeover import Site, progressed
from tests.tlog.sumdb_verifier import verify_with_go

from privyseal.cli.audit import log


class Pair:
    """A primary and its streaming standby, which change their parts at every failover; the address names both."""

    def __init__(self, where: Path, synchronous: bool) -> None:
        self.where, self.synchronous, self.count = where, synchronous, 0
        self.ports = [free_port(), free_port()]
        self.primary = Cluster(where, "c0", self.ports[0]).create().start()
        self.standby = self.primary
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.url = f"postgresql://privyseal@{hosts}/postgres?target_session_attrs=read-write"

    def pair_up(self) -> None:
        """Make a standby of what is the primary now."""
        self.count += 1
        free = next(port for port in self.ports if port != self.primary.port)
        self.standby = Cluster(self.where, f"c{self.count}", free).standby_of(self.primary)
        if self.synchronous:
            self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.primary.execute("SELECT pg_reload_conf()")
        state = "sync" if self.synchronous else "async"
        wait_until(lambda: self.primary.execute("SELECT sync_state FROM pg_stat_replication") == [(state,)], 60)

    def fail_over(self) -> None:
        """The primary is gone; the standby, with whatever it has, takes its place."""
        self.primary.stop()
        self.primary.remove()
        self.standby.promote()
        self.primary = self.standby

    def stop(self) -> None:
        for each in (self.primary, self.standby):
            each.stop()


@pytest.fixture
def where() -> Iterator[Path]:
    with folder() as found:
        yield found


@pytest.mark.parametrize("failovers", [pytest.param(10, marks=pytest.mark.nightly)])
def test_a_synchronous_failover_loses_nothing_and_forks_nothing(tmp_path: Path, where: Path, failovers: int):
    """The connection to the standby is cut, the primary dies, the standby is promoted: the loggers go on by
    themselves, every size has one root, every acknowledged entry its place."""
    pair = Pair(where, synchronous=True)
    site = Site(tmp_path, pair.url)
    took = []
    try:
        for name in "ab":
            site.start(name)
        load = Load(site, 4)
        for _ in range(failovers):
            pair.pair_up()
            progressed(load, len(load.acknowledged))
            pair.standby.cut_off()
            time.sleep(0.3)
            pair.fail_over()
            began = time.monotonic()
            progressed(load, len(load.acknowledged) + 4)
            took.append(time.monotonic() - began)
        load.stop()
        site.end()
        entries = audit(site, load)
        assert verify_with_go(site.public, site.verifier.vkey).startswith(f"{entries} entries")
        print(f"{failovers} synchronous failovers: 0 forks, {entries} entries, slowest {max(took):.1f} s until logging")
    finally:
        site.close()
        pair.stop()


@pytest.mark.parametrize("failovers", [1, pytest.param(10, marks=pytest.mark.nightly)])
def test_an_asynchronous_failover_is_refused_and_recovered(tmp_path: Path, where: Path, failovers: int):
    """Commits that were published are lost with the primary: no logger goes on, both sizes are told; after
    ``log recover`` all goes on, with one root for each size and every acknowledged entry in its place."""
    pair = Pair(where, synchronous=False)
    site = Site(tmp_path, pair.url)
    lost, load = [], None
    try:
        for name in "ab":
            site.start(name)
        load = Load(site, 4)
        for _ in range(failovers):
            pair.pair_up()
            progressed(load, len(load.acknowledged))
            pair.standby.cut_off()
            progressed(load, len(load.acknowledged) + 10)
            pair.fail_over()
            wait_until(lambda load=load: len(load.wrong) >= 1, 60)
            load.stop()
            assert all("entries, and a head of" in each or "has cosigned" in each for each in load.wrong), load.wrong
            before = load
            site.end()
            said = CliRunner().invoke(log, ["recover", "--dir", str(tmp_path), "--logger", "a", "--apply"])
            assert said.exit_code == 0, said.output
            lost.append(next(line for line in said.output.splitlines() if line.startswith("the journal goes")))
            for name in "ab":
                site.start(name)
            load = Load(site, 4)
            load.acknowledged, load.heads = before.acknowledged, before.heads
            progressed(load, len(load.acknowledged) + 4)
        load.stop()
        site.end()
        entries = audit(site, load)
        assert verify_with_go(site.public, site.verifier.vkey).startswith(f"{entries} entries")
        print(f"{failovers} asynchronous failovers: 0 forks, {entries} entries; {'; '.join(lost)}")
    finally:
        if load is not None:
            load.stop()
        site.close()
        pair.stop()
